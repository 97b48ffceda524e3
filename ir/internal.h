/* What only the files of ir/ share. */
#ifndef TN_IR_INTERNAL_H
#define TN_IR_INTERNAL_H

#include "ir/ir.h"
#include "ir/print.h"

/* Finds the op, encoding, attribute or symbol of that name; the COUNT of its enum if there is none. Takes O(1) or a walk of
 * a short table. */
TnOp tn_op_find(const char *s, size_t n);
TnEnc tn_enc_find(const char *s, size_t n);
TnAttrKey tn_attr_find(const char *s, size_t n);
TnSym tn_sym_find(const char *s, size_t n);
/* Whether the op's row lists the attribute. Every value that a kernel or the runtime makes may have `off`. */
typedef enum TnAttrRule { TN_ATTR_FOREIGN, TN_ATTR_OPTIONAL, TN_ATTR_REQUIRED } TnAttrRule;
TnAttrRule tn_attr_rule(TnOp op, TnAttrKey key);

/* type_check.c: checks a type by itself (rank, dims, block sizes, scales), for any op. */
TernStatus tn_type_check(const TnType *t, TernError *err);
/* Whether it is a ternary encoding that kernels read. */
static inline bool tn_enc_is_packed(TnEnc e) {
    return tn_encs[e].kind == TN_TERNARY || tn_encs[e].kind == TN_TERNARY_GROUPS;
}

#endif
