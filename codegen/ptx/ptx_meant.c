/* ptx.def as functions, for one lane at a time. */
#include <string.h>
#include "codegen/ptx/ptx_meaning.h"
#include "codegen/ptx/ptx_trial.h"
#include "runtime/base/status.h"

#define PTX(name, class, text, made, from, ...) PTX_##class(name, made, __VA_ARGS__)

/* ---- class ALU. `made` is a literal: all branches but one go away. */

#define PTX_ALU(name, made, meaning)                                                                         \
    case TN_PX_##name:                                                                                       \
        if ((made)[0] == 'f')                                                                                \
            r.f = (float)(meaning);                                                                          \
        else if ((made)[0] == 'g')                                                                           \
            r.g = (double)(meaning);                                                                         \
        else if ((made)[0] == 'h')                                                                           \
            r.l = (uint16_t)(meaning);                                                                       \
        else if ((made)[0] == 'p')                                                                           \
            r.l = (meaning) != 0;                                                                            \
        else if ((made)[0] == 'r')                                                                           \
            r.l = (uint32_t)(meaning);                                                                       \
        else                                                                                                 \
            r.l = (uint64_t)(meaning);                                                                       \
        break;
#define PTX_LOAD(...)
#define PTX_STORE(...)
#define PTX_ATOM(...)
#define PTX_COPY(...)
#define PTX_GROUP(...)
#define PTX_LANES(...)
#define PTX_TILE(...)
#define PTX_SYNC(...)
#define PTX_FLOW(...)

/* The bits of an operand: a union's members overlap from its first byte on. */
static TnPtxWord word(uint64_t bits, char kind) {
    TnPtxWord w = {.l = 0};
    if (kind == 'p')
        w.p = bits & 1;
    else if (kind == 'h')
        w.h = (uint16_t)bits;
    else if (kind == 'd' || kind == 'g')
        w.l = bits;
    else
        w.u = (uint32_t)bits;
    return w;
}

uint64_t tn_ptx_meant(TnPxRow row, const uint64_t *v) {
    TnPtxWord w[4] = {{0}}, r = {.l = 0};
    uint32_t n = 0;
    for (const char *k = tn_px_rows[row].operands; *k; k++) {
        if (*k == '{' || *k == '}') continue;
        w[n] = word(v[n], *k);
        n++;
    }
    TnPtxWord a = w[0], b = w[1], c = w[2], d = w[3];
    switch (row) {
#include "codegen/ptx/ptx.def"
    default:
        TN_CHECK(!"a row of class ALU");
    }
    return r.l;
}

/* ---- memory */

#undef PTX_ALU
#undef PTX_LOAD
#undef PTX_STORE
#undef PTX_ATOM
#define GLOBAL TN_PTX_GLOBAL
#define SHARED TN_PTX_SHARED
#define PARAM  TN_PTX_PARAM
#define ADD    TN_PTX_ADD
#define MAX    TN_PTX_MAX
#define MIN    TN_PTX_MIN
#define CAS    TN_PTX_CAS
#define LOADS(where, size, sign)                                                                             \
    { .space = (where), .bytes = (size), .is_signed = (sign) }
#define STORES(where, size)                                                                                  \
    { .space = (where), .bytes = (size) }
#define UPDATES(where, how)                                                                                  \
    { .space = (where), .bytes = 4, .update = (how) }
#define PTX_ALU(...)
#define PTX_LOAD(name, made, tuple)  [TN_PX_##name] = LOADS tuple,
#define PTX_STORE(name, made, tuple) [TN_PX_##name] = STORES tuple,
#define PTX_ATOM(name, made, tuple)  [TN_PX_##name] = UPDATES tuple,
static const TnPtxAccess accesses[TN_PX_ROWS] = {
#include "codegen/ptx/ptx.def"
};

TnPtxAccess tn_ptx_access(TnPxRow row) {
    TnPtxAccess a = accesses[row];
    const TnPxInfo *info = &tn_px_rows[row];
    const char *values = info->class == TN_PX_STORE ? info->operands + 1 : info->result;
    TN_CHECK(a.bytes);
    a.count = *values == '{' ? (uint32_t)strlen(values) - 2 : 1;
    return a;
}

uint32_t tn_ptx_updated(TnPtxUpdate how, uint32_t old, uint32_t b, uint32_t c) {
    switch (how) {
    case TN_PTX_ADD:
        return old + b;
    case TN_PTX_MAX:
        return old > b ? old : b;
    case TN_PTX_MIN:
        return old < b ? old : b;
    default:
        TN_CHECK(how == TN_PTX_CAS);
        return old == b ? c : old;
    }
}

/* ---- silicon */

const char *tn_ptx_seen(TnPxRow row) {
    switch (row) {
#define SEEN(name, where)                                                                                    \
    case TN_PX_##name:                                                                                       \
        return (where);
#include "codegen/ptx/ptx_seen.def"
#undef SEEN
    default:
        return NULL;
    }
}
