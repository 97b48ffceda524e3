/* An engine for tests that has memory of its own: another engine's code, over memory that is accessible only while a
 * program runs or the engine itself copies something. If the host touches it at any other time, that is a fault; no
 * device is needed.
 *
 *   FarControl far = {0};
 *   tn_model_open_on(far_engine(cpu, &far), ...);
 */
#ifndef FAR_ENGINE_H
#define FAR_ENGINE_H

#include "runtime/engine.h"

typedef struct FarControl {
    /* in: the n-th call from now fails; 1: the next one, 0: none */
    uint32_t fail_allocate, fail_upload, fail_bind, fail_run, fail_write;
    uint32_t only_level; /* the only level that it runs; 0: those of the inner engine */
    /* out */
    uint32_t runs, uploads, copies, clears, writes;
    uint32_t blocks;    /* allocated now */
    uint32_t sessions;  /* bound now */
    uint32_t strangers; /* operands that do not lie in its memory */
    uint32_t closed;
} FarControl;

/* Takes ownership of the inner engine. The control must outlive it. */
TnEngine *far_engine(TnEngine *inner, FarControl *control);

#endif
