/* What the files of ir/ share among themselves and nobody else needs. */
#ifndef TN_IR_INTERNAL_H
#define TN_IR_INTERNAL_H

#include "ir/ir.h"

#define TN_NAME_MAX   255        /* bytes of a name */
#define TN_STR_MAX    4096       /* bytes of a string attribute */
#define TN_VALUES_MAX 1024       /* values of a `const` */
#define TN_ARGS_MAX   8          /* operands */
#define TN_NODES_MAX  (1u << 24) /* nodes of a graph as text; passes add a few to each */
#define TN_SCALES_MAX (1u << 24) /* scale ranges of a type */

/* [A-Za-z_][A-Za-z0-9_.]* or digits, at most TN_NAME_MAX bytes. */
bool tn_name_ok(const char *s, size_t n);
/* Bare words (levels, targets, identifiers): [A-Za-z0-9_][A-Za-z0-9_.+-]*. */
bool tn_word_ok(const char *s, size_t n);
/* The op, encoding, attribute or symbol of that name, or its COUNT. O(1) or a walk of a table of fewer
 * than 32. */
TnOp tn_op_find(const char *s, size_t n);
TnEnc tn_enc_find(const char *s, size_t n);
TnAttrKey tn_attr_find(const char *s, size_t n);
TnSym tn_sym_find(const char *s, size_t n);
/* Whether the op's row lists the attribute. `off` belongs to every value made by a kernel or the runtime. */
typedef enum TnAttrRule { TN_ATTR_FOREIGN, TN_ATTR_OPTIONAL, TN_ATTR_REQUIRED } TnAttrRule;
TnAttrRule tn_attr_rule(TnOp op, TnAttrKey key);

/* Weights made of others, whose type follows from these alone. */
static inline bool tn_op_is_made(TnOp op) {
    return op == TN_OP_concat || op == TN_OP_keep_rows || op == TN_OP_keep_cols || op == TN_OP_columns;
}

/* infer.c: checks a type by itself (rank, dims, block sizes, scales), whatever op it belongs to. */
TernStatus tn_type_check(const TnType *t, TernError *err);

/* graph.c: tn_node_add after inference; the type is taken as it is and copied. */
TnRef tn_node_push(TnGraph *g, TnOp op, const char *name, size_t name_len, const TnType *type,
                   const TnRef *args, uint32_t n_args, const TnAttr *attrs, uint32_t n_attrs);

/* print.c: the spellings that messages use too. */
void tn_print_type(const TnType *t, TnBuf *out); /* with its scales */
void tn_print_float(float f, TnBuf *out);
void tn_print_attr(const TnAttr *a, TnBuf *out); /* "eps=0x1p-17" */
void tn_print_value(const TnAttr *a, TnBuf *out);
void tn_print_node(const TnGraph *g, TnRef r, TnBuf *out); /* its line, without indent and end */
char tn_sigil(const TnGraph *g, TnRef r);                  /* '$' or '%' */

#endif
