/* The table of kvs.def: the types of a cache of keys and values. Includes nothing else of the runtime. */
#ifndef TN_ABI_KVS_H
#define TN_ABI_KVS_H

#include <stddef.h>
#include <stdint.h>
#include "runtime/abi/kvs.def"

enum {
#define TN_KVTYPE_NUMBER(id, number, ...) TN_KVTYPE_##id = (number),
    TN_KVS(TN_KVTYPE_NUMBER)
#undef TN_KVTYPE_NUMBER
};

typedef struct TnKvType {
    uint32_t number;
    const char *name;
    uint32_t elem_bytes, scale_bytes; /* for an element; for a row of one head */
} TnKvType;

/* The i-th type; NULL after the last. */
static inline const TnKvType *tn_kv_row(size_t i) {
    static const TnKvType rows[] = {
#define TN_KVTYPE_ROW(id, number, name, elem_bytes, scale_bytes)                                             \
    {(number), (name), (elem_bytes), (scale_bytes)},
        TN_KVS(TN_KVTYPE_ROW)
#undef TN_KVTYPE_ROW
    };
    return i < sizeof rows / sizeof *rows ? &rows[i] : NULL;
}
/* NULL if no type has that number. */
static inline const TnKvType *tn_kv_type(uint32_t number) {
    const TnKvType *t = NULL;
    for (size_t i = 0; (t = tn_kv_row(i)) && t->number != number;) i++;
    return t;
}

/* For messages: "f16, f32, i8". */
#define TN_KVTYPE_COMMA_NAME(id, number, name, ...) ", " name
#define TN_KVTYPE_NAMES                             (&(TN_KVS(TN_KVTYPE_COMMA_NAME))[2])

#endif
