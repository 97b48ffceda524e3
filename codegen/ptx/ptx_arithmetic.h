/* Arithmetic of kernels: the routines of runtime/base/fmath.h and of the ops, step by step as they are defined there, so that
 * their bits are the evaluator's; access to elements; and reductions by a warp or by a CTA.
 *
 * Threads of a CTA are numbered 0 .. x->threads - 1, a multiple of 32, which must be set before the calls that need it. */
#ifndef TN_PTX_ARITHMETIC_H
#define TN_PTX_ARITHMETIC_H

#include "codegen/ptx/ptx_writer.h"

/* ---- a lane by itself. Arguments and results are f unless the name says otherwise. */
TnPxV tn_px_fmax(TnPx *x, TnPxV a, TnPxV b);                              /* a > b ? a : b */
TnPxV tn_px_fmin(TnPx *x, TnPxV a, TnPxV b);                              /* a < b ? a : b */
TnPxV tn_px_exp(TnPx *x, TnPxV v);                                        /* tn_exp */
TnPxV tn_px_gelu(TnPx *x, TnPxV v);                                       /* tn_gelu */
TnPxV tn_px_gelu_tanh(TnPx *x, TnPxV v);                                  /* tn_gelu_tanh */
TnPxV tn_px_silu(TnPx *x, TnPxV v);                                       /* silu of ops.def */
void tn_px_sincos_turn(TnPx *x, TnPxV f, TnPxV *out_sin, TnPxV *out_cos); /* tn_sincos_turn */
TnPxV tn_px_size_bits(TnPx *x,
                      TnPxV v); /* r: the bits of |v|, which rise with it; infinity and NaN are the largest */
/* quant: from the largest bits of |x| (r) the factor 127/a, and a/127 in *out_scale. The code of a value as r, -127 .. 127. */
TnPxV tn_px_quant_factor(TnPx *x, TnPxV bits, TnPxV *out_scale);
TnPxV tn_px_quant(TnPx *x, TnPxV v, TnPxV factor);
TnPxV tn_px_narrow_f16_sat(TnPx *x, TnPxV v); /* h: tn_f32_to_f16_sat */
/* r: a number that is ordered, unsigned, as the floats are, NaN aside; -0 and +0 are equal. It is never 0 for a float that is
 * no NaN. */
TnPxV tn_px_order(TnPx *x, TnPxV v);

/* ---- elements of rows. base: an address (G or S), or a register of one (d or r); index: r, a register or a number. f16 and
 * bf16 are widened to f when they are read; s8 and u8 are r, of 32 bits. */
typedef enum TnPxElem { TN_PX_F32, TN_PX_U32, TN_PX_F16, TN_PX_BF16, TN_PX_S8, TN_PX_U8 } TnPxElem;
/* base + index * bytes as an address. */
TnPxV tn_px_index(TnPx *x, TnPxV base, TnPxV index, uint32_t bytes);
TnPxV tn_px_get(TnPx *x, TnPxV base, TnPxV index, TnPxElem e);
/* v: f for F32, r for U32, S8 and U8, h for F16. */
void tn_px_put(TnPx *x, TnPxV base, TnPxV index, TnPxElem e, TnPxV v);
/* The same, by the lanes where p holds. */
void tn_px_put_if(TnPx *x, TnPxV p, TnPxV base, TnPxV index, TnPxElem e, TnPxV v);

/* ---- warps. Every lane of the warp takes part and gets the result. */
TnPxV tn_px_lane(TnPx *x); /* r: tid % 32 */
TnPxV tn_px_warp(TnPx *x); /* r: tid / 32 */
/* The end of the order "lanes" of ops.def: lanes j and j+16 are added, then 8, 4, 2, 1. v: f or g. */
TnPxV tn_px_tree(TnPx *x, TnPxV v);
TnPxV tn_px_warp_sum(TnPx *x, TnPxV v); /* r */
TnPxV tn_px_warp_max(TnPx *x, TnPxV v); /* r, unsigned */
TnPxV tn_px_warp_min(TnPx *x, TnPxV v);

/* ---- CTAs. All threads take part and get the result. They use shared memory with one barrier inside; between two passes
 * through the same call (in a loop) there must be another barrier. */
TnPxV tn_px_block_sum(TnPx *x, TnPxV v); /* r */
TnPxV tn_px_block_max(TnPx *x, TnPxV v); /* r, unsigned */
TnPxV tn_px_block_min(TnPx *x, TnPxV v);

/* ---- A team works on a row: the CTA, or, while x->by_warps is set, each warp by itself.
 *
 * for (i = this thread of the team; i < end; i += its threads); end: r. Ends as tn_px_loop does. No barriers within. */
TnPxLoop tn_px_strided(TnPx *x, TnPxV end);
TnPxLoop tn_px_strided_lane(TnPx *x, TnPxV end); /* the same for the lanes of each warp */
TnPxLoop tn_px_strided_warp(TnPx *x,
                            TnPxV end); /* the same for the warps of the team, of which a warp is one */
void tn_px_meet(TnPx *x);               /* all threads of the team */
/* Shared memory of the team, `bytes` a multiple of 16. */
TnPxV tn_px_team_shared(TnPx *x, uint32_t bytes); /* S */

#endif
