/* What a blob is written into: nothing, a program (runtime/base/single.h) or an ELF object. */
#ifndef TN_FORM_H
#define TN_FORM_H

#include "codegen/codegen.h"
#include "frontends/api/ternc.h"
#include "runtime/base/os.h"

typedef struct TnForm {
    TnBlobWrap wrap; /* around NULL: the blob alone */
    TnFile program;
    size_t slot;
    uint32_t machine;
} TnForm;

/* Reads the options `form` and `program`, and checks that the program runs on the machine of the levels. tn_form_free() it in
 * any case. */
TernStatus tn_form_take(const TerncOptions *o, const char **levels, uint32_t n_levels, TnForm *out,
                        TernError *err);
void tn_form_free(TnForm *f);

#endif
