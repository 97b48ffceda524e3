/* Writes entries of PTX text. Every instruction is a row of ptx.def, so a text that is not in the table cannot be written.
 *
 *   TnPx x = {.out = &buf};
 *   tn_px_open(&x, "name", n_params);
 *   TnPxV p = PX(&x, ld_param, tn_px_param(0)), t = tn_px_special(&x, TN_PX_tid);
 *   PX(&x, st, tn_px_at(PX(&x, mad_wide, t, tn_px_u(4), p), 0), t);
 *   PX(&x, ret);
 *   tn_px_close(&x);
 *
 * A value is a register, a number or an address. Registers are variables: PX makes a new one for its result, PX_TO writes
 * one that is there, which is how loops carry values. The kinds of operands are checked against the row; a wrong one is a bug
 * of the caller. */
#ifndef TN_PTX_WRITER_H
#define TN_PTX_WRITER_H

#include <stdbool.h>
#include <stdint.h>
#include "runtime/base/buf.h"

typedef enum TnPxRow {
#define PTX(name, ...) TN_PX_##name,
#include "codegen/ptx/ptx.def"
#undef PTX
    TN_PX_ROWS
} TnPxRow;

typedef enum TnPxClass {
    TN_PX_ALU,
    TN_PX_LOAD,
    TN_PX_STORE,
    TN_PX_ATOM,
    TN_PX_COPY,
    TN_PX_GROUP,
    TN_PX_LANES,
    TN_PX_TILE,
    TN_PX_SYNC,
    TN_PX_FLOW
} TnPxClass;

typedef struct TnPxInfo {
    const char *name, *text, *result, *operands;
    TnPxClass class;
} TnPxInfo;
extern const TnPxInfo tn_px_rows[TN_PX_ROWS];

typedef enum TnPxSpecial {
#define SPECIAL(name, text) TN_PX_##name,
#include "codegen/ptx/ptx_special.def"
#undef SPECIAL
    TN_PX_SPECIALS
} TnPxSpecial;
extern const char *const tn_px_specials[TN_PX_SPECIALS];

/* kind: the letter of ptx.def, or 0: nothing. An address is a register of 64 bits (G) or 32 bits (S) and a constant. */
typedef struct TnPxV {
    char kind;
    bool number;   /* not a register: `bits` is the value */
    uint32_t reg;  /* also: label, parameter, special register */
    uint64_t bits; /* a number, or the constant of an address */
} TnPxV;

enum { TN_PX_KINDS = 6 }; /* r f h d g p */

typedef struct TnPx {
    TnBuf *out;
    /* between tn_px_open and tn_px_close */
    const char *name;
    TnBuf body;
    uint32_t params, registers[TN_PX_KINDS], labels;
    uint32_t threads; /* of a CTA; 0: none stated. Set by the caller before tn_px_close */
    uint32_t shared;  /* most bytes in use by tn_px_shared at once */
    uint32_t used;    /* bytes in use; may be set back to an earlier value, which frees what came after */
    bool by_warps;    /* each warp works by itself, on a row of its own: see ptx_arithmetic.h */
    TnPxV base;       /* the start of shared memory, made on first use */
    TnPxV guard;      /* of the next instruction */
    bool unless;
} TnPx;

/* ---- texts. The header of a module: PTX 7.0 for sm_80, 8.0 for sm_90a. */
void tn_px_module(TnBuf *out, const char *version, const char *target);
/* An entry of `params` parameters of 64 bits each. `name` must stay valid. x->out must be set and all else 0. */
void tn_px_open(TnPx *x, const char *name, uint32_t params);
/* Appends the entry to x->out. x->threads and x->shared say what a launch must give it. */
void tn_px_close(TnPx *x);

/* ---- values */
static inline TnPxV tn_px_u(uint32_t v) {
    return (TnPxV){.kind = 'r', .number = true, .bits = v};
}
static inline TnPxV tn_px_i(int64_t v) { /* for operands i */
    return (TnPxV){.kind = 'i', .number = true, .bits = (uint64_t)v};
}
static inline TnPxV tn_px_l(int64_t v) {
    return (TnPxV){.kind = 'd', .number = true, .bits = (uint64_t)v};
}
TnPxV tn_px_f(float v);
TnPxV tn_px_g(double v);
static inline TnPxV tn_px_param(uint32_t i) {
    return (TnPxV){.kind = 'P', .reg = i};
}
/* A new register of that kind: r f h d g p. Until it is written it has no value. */
TnPxV tn_px_reg(TnPx *x, char kind);
/* A new register with the value of v, which may be a number. */
TnPxV tn_px_var(TnPx *x, TnPxV v);
TnPxV tn_px_special(TnPx *x, TnPxSpecial s);
/* The address base + offset: a base of 64 bits in device memory, of 32 bits in shared memory. */
TnPxV tn_px_at(TnPxV base, int64_t offset);
/* Bytes of the CTA's shared memory, aligned to `align` (a power of two, at most 16); returns their offset. */
uint32_t tn_px_shared(TnPx *x, uint32_t bytes, uint32_t align);
/* The address of shared memory as a register of 32 bits, and offset added to it as an address. */
TnPxV tn_px_shared_base(TnPx *x);
TnPxV tn_px_shared_at(TnPx *x, uint32_t offset);

/* ---- instructions. tn_px_op: results into `into`, or into new registers, whose first is returned, if into is NULL. Operands
 * of vectors are given one by one. More results than one: from tn_px_many. */
TnPxV tn_px_op(TnPx *x, TnPxRow row, const TnPxV *into, const TnPxV *operands, uint32_t n);
void tn_px_many(TnPx *x, TnPxRow row, TnPxV *results, const TnPxV *operands, uint32_t n);
#define TN_PX_COUNT(...)       (sizeof((TnPxV[]){{0}, __VA_ARGS__}) / sizeof(TnPxV) - 1)
#define TN_PX_OPERANDS(...)    ((const TnPxV[]){{0}, __VA_ARGS__} + 1), TN_PX_COUNT(__VA_ARGS__)
#define PX(x, row, ...)        tn_px_op((x), TN_PX_##row, NULL, TN_PX_OPERANDS(__VA_ARGS__))
#define PX_TO(x, to, row, ...) tn_px_op((x), TN_PX_##row, (const TnPxV[]){to}, TN_PX_OPERANDS(__VA_ARGS__))
/* `results` gets the new registers of a row with several results. */
#define PX_MANY(x, results, row, ...) tn_px_many((x), TN_PX_##row, (results), TN_PX_OPERANDS(__VA_ARGS__))
/* The next instruction is done only by lanes where p holds (or, unless, does not). */
void tn_px_when(TnPx *x, TnPxV p);
void tn_px_unless(TnPx *x, TnPxV p);
/* v into the register `to`, of the same kind. */
void tn_px_set(TnPx *x, TnPxV to, TnPxV v);
/* A comment line, which is not an instruction. */
void tn_px_note(TnPx *x, const char *text);

/* ---- flow */
TnPxV tn_px_label(TnPx *x);             /* a new one, which has no place yet */
void tn_px_place(TnPx *x, TnPxV label); /* here */
void tn_px_go(TnPx *x, TnPxV label);
void tn_px_go_if(TnPx *x, TnPxV p, TnPxV label);
void tn_px_go_unless(TnPx *x, TnPxV p, TnPxV label);
/* All threads of the CTA meet; those of a warp. */
void tn_px_barrier(TnPx *x);
void tn_px_barrier_warp(TnPx *x);

/* for (i = start; i < end; i += step), 32 bits unsigned; the body may run zero times. i may be read after the end. */
typedef struct TnPxLoop {
    TnPxV i, end, step, head, exit;
} TnPxLoop;
TnPxLoop tn_px_loop(TnPx *x, TnPxV start, TnPxV end, TnPxV step);
void tn_px_loop_end(TnPx *x, TnPxLoop *l);
/* if (p) { } else { }; the else is optional. */
typedef struct TnPxIf {
    TnPxV other, exit;
    bool has_else;
} TnPxIf;
TnPxIf tn_px_if(TnPx *x, TnPxV p);
void tn_px_else(TnPx *x, TnPxIf *i);
void tn_px_if_end(TnPx *x, TnPxIf *i);

#endif
