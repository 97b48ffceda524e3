/* The model again, in double and as plainly as possible. Tests compare the graphs made from GGUF files with it. It
 * shares nothing with the frontend, the IR or the decoders: its weights come from the generator, its formulas from
 * the published models.
 *
 *   rmsnorm   y = x / sqrt(mean(x^2) + eps) * w
 *   ternary   a = max(|x|, 1e-5); q = round(x * 127 / a), ties to even; y = s * a / 127 * (t . q)
 *   rope      angle = pos * base^(-2i/head) / freq_i; the pairs are (i, i + head/2) or (2i, 2i + 1)
 *             linear: angle / factor. yarn and llama3: the part k of the angle is kept, the rest divided by factor; k falls
 *             in a straight line from 1 to 0, of yarn from the pair that turns 32 times in the context to the one that turns
 *             once, rounded outwards, of llama3 with the turns themselves, from 4 to 1. yarn: q and k times 1 + ln(factor) / 10.
 *             llama3 with the tensor freq: the tensor alone
 *   attention softmax(q . k / sqrt(head)) v over earlier positions, or the last `window`; head h reads kv head
 *             h / (heads / kv_heads)
 *   ffn       act(gate) * up, act being relu squared, silu, relu, gelu by erf or gelu by tanh
 *   sub-norms before attn_output and ffn_down, or none
 *   heads     of q and k by a vector each, rmsnormed before rope, or as they are; a bias on q, k and v, or none
 *
 *   norms     of the input of each linear by a vector of its own, or none; of what halves of layers add, or none
 *   scales    the embedding times the square root of its width, or not
 *   local     layers with a window, whose angles are pos * 10000^(-2i/head); all layers have the window, or all but
 *             the last of each period
 *   scales    the embedding and what halves of layers add times a number, logits divided by one; or not
 *
 * tn_gm_archs says which of these an architecture has. */
#ifndef TN_TEST_REF_MODEL_H
#define TN_TEST_REF_MODEL_H

#include "support/gguf_model.h"

typedef struct TnRefModel TnRefModel;

/* ternary_dense: dense matrices with ternary values run as ternary. The spec must outlive the model. */
TnRefModel *tn_ref_model_create(const TnGmSpec *s, bool ternary_dense);
void tn_ref_model_destroy(TnRefModel *m);
/* A sequence from its start: logits [n, vocab] and normed hidden rows [n, hidden]. */
void tn_ref_model_run(const TnRefModel *m, const int32_t *ids, uint32_t n, double *logits, double *hidden);
/* |a - b| / |b| of a row. */
double tn_row_error(const float *a, const double *b, size_t n);

#endif
