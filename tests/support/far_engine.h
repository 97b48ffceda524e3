/* An engine for tests whose memory is far away: another engine's code over memory that nobody may touch but while a
 * program runs, or the engine itself moves something. A host access to it is a fault, with no device needed.
 *
 *   FarControl far = {0};
 *   tn_model_open_on(far_engine(cpu, &far), ...);
 */
#ifndef FAR_ENGINE_H
#define FAR_ENGINE_H

#include "runtime/engine.h"

typedef struct FarControl {
    /* in: calls that fail, counted down; 1: the next one */
    uint32_t fail_allocate, fail_upload, fail_bind, fail_run;
    uint32_t only_level; /* runs no other; 0: as the inner engine */
    /* out */
    uint32_t runs, uploads, copies, clears;
    uint32_t blocks;    /* held now */
    uint32_t sessions;  /* bound now */
    uint32_t strangers; /* operands that do not lie in its memory */
    uint32_t closed;
} FarControl;

/* Takes the inner engine over; the control must outlive it. */
TnEngine *far_engine(TnEngine *inner, FarControl *control);

#endif
