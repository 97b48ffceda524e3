#include "support/ref_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/base/arena.h"
#include "support/gguf_trits.h"

typedef struct Matrix {
    uint32_t rows, cols;
    bool ternary;
    uint32_t group; /* columns that are rounded together; 0: all */
    double scale, *w;
    double *bias; /* NULL if there is none */
    double *norm; /* of the input; NULL likewise */
} Matrix;

typedef struct Layer {
    double *attn_norm, *attn_sub_norm, *ffn_norm, *ffn_sub_norm; /* sub-norms NULL if there are none */
    double *q_norm, *k_norm;                                     /* of heads; NULL likewise */
    double *post_attn, *post_ffn;                                /* after the halves; NULL likewise */
    Matrix q, k, v, o, gate, up, down;
} Layer;

struct TnRefModel {
    const TnGmSpec *s;
    const TnGmArch *arch;
    bool ternary;
    double *embd, *norm, *freqs;
    Matrix head;
    Layer *layers;
};

static double *values(const TnGmSpec *s, const char *name, uint32_t rows, uint32_t cols, double *out_scale) {
    double *v = tn_xcalloc((size_t)rows * cols, sizeof *v);
    tn_gm_values(s, name, rows, cols, v, out_scale);
    return v;
}

static Matrix matrix(const TnRefModel *m, uint32_t layer, const char *proj, uint32_t rows, uint32_t cols) {
    Matrix x = {.rows = rows, .cols = cols, .ternary = m->ternary, .scale = 1.0};
    uint64_t group = m->s->grouped && m->ternary ? tn_gt_group(m->s->weights) : 0;
    if (group < cols) x.group = (uint32_t)group;
    char name[64];
    snprintf(name, sizeof name, "blk.%u.%s.weight", layer, proj);
    x.w = values(m->s, name, rows, cols, &x.scale);
    if (!m->ternary) { /* -s, 0, s multiplied as they are */
        for (size_t i = 0; i < (size_t)rows * cols; i++) x.w[i] *= x.scale;
        x.scale = 1.0;
    }
    if (m->s->scales) {
        double extra;
        snprintf(name, sizeof name, "blk.%u.%s.scale", layer, proj);
        tn_gm_values(m->s, name, 1, 1, &extra, NULL);
        x.scale *= extra;
    }
    if (m->arch->biases &&
        (strcmp(proj, "attn_q") == 0 || strcmp(proj, "attn_k") == 0 || strcmp(proj, "attn_v") == 0)) {
        snprintf(name, sizeof name, "blk.%u.%s.bias", layer, proj);
        x.bias = values(m->s, name, 1, rows, NULL);
    }
    if (m->s->norms_in) {
        snprintf(name, sizeof name, "blk.%u.%s_norm_in.weight", layer, proj);
        x.norm = values(m->s, name, 1, cols, NULL);
    }
    return x;
}

static double *layer_norm(const TnRefModel *m, uint32_t layer, const char *which, uint32_t n) {
    char name[64];
    snprintf(name, sizeof name, "blk.%u.%s.weight", layer, which);
    return values(m->s, name, 1, n, NULL);
}

/* Embedding or head: the values with their scale, and the head that multiplies by them. */
static double *table(const TnRefModel *m, const char *name, Matrix *out_head) {
    uint32_t rows = m->s->vocab, cols = m->s->hidden;
    uint64_t group = m->s->grouped ? tn_gt_group(m->s->embd) : 0;
    double scale, *v = values(m->s, name, rows, cols, &scale);
    for (size_t i = 0; i < (size_t)rows * cols; i++) v[i] *= scale;
    *out_head =
        (Matrix){.rows = rows, .cols = cols, .scale = 1.0, .w = v, .ternary = tn_gm_is_trits(m->s->embd)};
    if (group < cols) out_head->group = (uint32_t)group;
    return v;
}

TnRefModel *tn_ref_model_create(const TnGmSpec *s, bool ternary_dense) {
    TnRefModel *m = tn_xcalloc(1, sizeof *m);
    uint32_t h = s->hidden, head = tn_gm_head_dim(s), wide = s->heads * head, narrow = s->kv_heads * head;
    bool is_float = s->weights == GW_T_F32 || s->weights == GW_T_F16 || s->weights == GW_T_BF16;
    m->s = s;
    m->arch = tn_gm_arch(s->arch);
    m->ternary = tn_gm_is_ternary(s) && (!is_float || ternary_dense);
    m->embd = table(m, "token_embd.weight", &m->head);
    m->norm = values(s, "output_norm.weight", 1, h, NULL);
    if (s->rope_freqs) m->freqs = values(s, "rope_freqs.weight", 1, head / 2, NULL);
    if (s->untied) table(m, "output.weight", &m->head);
    m->layers = tn_xcalloc(s->layers, sizeof *m->layers);
    for (uint32_t i = 0; i < s->layers; i++) {
        Layer *l = &m->layers[i];
        l->attn_norm = layer_norm(m, i, "attn_norm", h);
        l->ffn_norm = layer_norm(m, i, "ffn_norm", h);
        if (m->arch->sub_norms) {
            l->attn_sub_norm = layer_norm(m, i, "attn_sub_norm", wide);
            l->ffn_sub_norm = layer_norm(m, i, "ffn_sub_norm", s->ffn);
        }
        if (m->arch->head_norms) {
            l->q_norm = layer_norm(m, i, "attn_q_norm", head);
            l->k_norm = layer_norm(m, i, "attn_k_norm", head);
        }
        if (m->arch->post_norms) {
            l->post_attn = layer_norm(m, i, "post_attention_norm", h);
            l->post_ffn = layer_norm(m, i, "post_ffw_norm", h);
        }
        l->q = matrix(m, i, "attn_q", wide, h);
        l->k = matrix(m, i, "attn_k", narrow, h);
        l->v = matrix(m, i, "attn_v", narrow, h);
        l->o = matrix(m, i, "attn_output", h, wide);
        l->gate = matrix(m, i, "ffn_gate", s->ffn, h);
        l->up = matrix(m, i, "ffn_up", s->ffn, h);
        l->down = matrix(m, i, "ffn_down", h, s->ffn);
    }
    return m;
}

void tn_ref_model_destroy(TnRefModel *m) {
    if (!m) return;
    for (uint32_t i = 0; i < m->s->layers; i++) {
        Layer *l = &m->layers[i];
        double *norms[] = {l->attn_norm, l->attn_sub_norm, l->ffn_norm,  l->ffn_sub_norm,
                           l->q_norm,    l->k_norm,        l->post_attn, l->post_ffn};
        Matrix *linears[] = {&l->q, &l->k, &l->v, &l->o, &l->gate, &l->up, &l->down};
        for (size_t j = 0; j < sizeof norms / sizeof *norms; j++) free(norms[j]);
        for (size_t j = 0; j < sizeof linears / sizeof *linears; j++) {
            free(linears[j]->w);
            free(linears[j]->bias);
            free(linears[j]->norm);
        }
    }
    if (m->s->untied) free(m->head.w);
    free(m->embd);
    free(m->norm);
    free(m->freqs);
    free(m->layers);
    free(m);
}

static void rmsnorm(const double *x, const double *w, uint32_t n, double eps, double *y) {
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += x[i] * x[i];
    for (uint32_t i = 0; i < n; i++) y[i] = x[i] / sqrt(sum / n + eps) * w[i];
}

/* The activations rounded to int8, by the row or group by group, as numbers. */
static void rounded(const Matrix *m, const double *x, double *out) {
    uint32_t n = m->group ? m->group : m->cols;
    for (uint32_t lo = 0; lo < m->cols; lo += n) {
        double amax = 1e-5;
        for (uint32_t i = lo; i < lo + n; i++) amax = fabs(x[i]) > amax ? fabs(x[i]) : amax;
        for (uint32_t i = lo; i < lo + n; i++) out[i] = rint(x[i] * (127.0 / amax)) * (amax / 127.0);
    }
}

static void linear(const Matrix *m, double eps, const double *x, double *y) {
    double *q = tn_xcalloc(m->cols, sizeof *q), *in = tn_xcalloc(m->cols, sizeof *in);
    memcpy(in, x, m->cols * sizeof *in);
    if (m->norm) rmsnorm(x, m->norm, m->cols, eps, in);
    memcpy(q, in, m->cols * sizeof *q);
    if (m->ternary) rounded(m, in, q);
    for (uint32_t r = 0; r < m->rows; r++) {
        double sum = 0;
        const double *w = m->w + (size_t)r * m->cols;
        for (uint32_t i = 0; i < m->cols; i++) sum += w[i] * q[i];
        y[r] = sum * m->scale;
        if (m->bias) y[r] += m->bias[r];
    }
    free(q);
    free(in);
}

/* How much of the angle of pair i stays as it is. */
static double kept(const TnGmSpec *s, uint32_t i, double angle_of_one) {
    double head = tn_gm_head_dim(s), turns = s->scaling_context * angle_of_one / (2 * M_PI), k;
    if (strcmp(s->scaling, "llama3") == 0) {
        k = (turns - 1) / (4 - 1);
    } else {
        double per = head / 2 / log(s->rope_base), all = s->scaling_context / (2 * M_PI);
        double from = floor(per * log(all / 32)), to = ceil(per * log(all));
        from = from < 0 ? 0 : from;
        to = to > head - 1 ? head - 1 : to;
        k = 1 - (i - from) / (to - from > 0.001 ? to - from : 0.001);
    }
    return k < 0 ? 0 : k > 1 ? 1 : k;
}

static double scaled(const TnGmSpec *s, uint32_t i, double angle_of_one) {
    if (!s->scaling) return angle_of_one;
    if (strcmp(s->scaling, "linear") == 0) return angle_of_one / s->scaling_factor;
    double k = kept(s, i, angle_of_one);
    return angle_of_one * ((1 - k) / s->scaling_factor + k);
}

/* A layer that turns by a base of its own, without scaling and factors. */
static bool is_local(const TnRefModel *m, uint32_t layer) {
    uint32_t period = m->arch->period && m->s->period ? m->s->period : m->arch->period;
    return m->s->window && period && (layer + 1) % period != 0;
}

static double yarn_size(const TnGmSpec *s) {
    return s->scaling && strcmp(s->scaling, "yarn") == 0 ? 1 + 0.1 * log(s->scaling_factor) : 1;
}

static void rope(const TnRefModel *m, bool local, double *x, uint32_t heads, uint32_t pos) {
    uint32_t head = tn_gm_head_dim(m->s), half = head / 2;
    for (uint32_t h = 0; h < heads; h++, x += head)
        for (uint32_t i = 0; i < half; i++) {
            double once = pow((double)m->s->rope_base, -2.0 * i / head);
            bool written = m->freqs && m->s->scaling && !strcmp(m->s->scaling, "llama3");
            double angle = pos * (written ? once : scaled(m->s, i, once));
            if (m->freqs) angle /= m->freqs[i];
            if (local) angle = pos * pow(10000, -2.0 * i / head);
            double *a = m->arch->pairs ? &x[2 * i] : &x[i],
                   *b = m->arch->pairs ? &x[2 * i + 1] : &x[i + half];
            double re = *a * cos(angle) - *b * sin(angle), im = *a * sin(angle) + *b * cos(angle);
            *a = re * yarn_size(m->s);
            *b = im * yarn_size(m->s);
        }
}

static double activated(const TnRefModel *m, double x) {
    const char *name = m->s->activation ? m->s->activation
                       : m->arch->relu2 ? "relu2"
                       : m->arch->gelu  ? "gelu_tanh"
                                        : "silu";
    double r = x > 0 ? x : 0;
    if (strcmp(name, "relu2") == 0) return r * r;
    if (strcmp(name, "relu") == 0) return r;
    if (strcmp(name, "silu") == 0) return x / (1 + exp(-x));
    if (strcmp(name, "gelu") == 0) return 0.5 * x * (1 + erf(x / sqrt(2)));
    if (strcmp(name, "gelu_tanh") == 0)
        return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    abort();
}

/* One head of one row over the positions 0 .. pos, or from `first` on. */
static void attend(const double *q, const double *k, const double *v, uint32_t stride, uint32_t head,
                   uint32_t first, uint32_t pos, double *y) {
    double *p = tn_xcalloc(pos + 1, sizeof *p), top = -INFINITY, sum = 0;
    for (uint32_t j = first; j <= pos; j++) {
        for (uint32_t d = 0; d < head; d++) p[j] += q[d] * k[(size_t)j * stride + d];
        p[j] /= sqrt(head);
        top = p[j] > top ? p[j] : top;
    }
    for (uint32_t j = first; j <= pos; j++) sum += p[j] = exp(p[j] - top);
    for (uint32_t d = 0; d < head; d++) {
        y[d] = 0;
        for (uint32_t j = first; j <= pos; j++) y[d] += p[j] / sum * v[(size_t)j * stride + d];
    }
    free(p);
}

static void layer(const TnRefModel *m, uint32_t index, uint32_t n, double *x) {
    const Layer *l = &m->layers[index];
    bool local = is_local(m, index);
    uint32_t window = m->arch->period && !local ? 0 : m->s->window;
    const TnGmSpec *s = m->s;
    uint32_t h = s->hidden, head = tn_gm_head_dim(s), wide = s->heads * head, narrow = s->kv_heads * head;
    uint32_t most = wide > s->ffn ? wide : s->ffn;
    double *k = tn_xcalloc((size_t)n * narrow, sizeof *k), *v = tn_xcalloc((size_t)n * narrow, sizeof *v);
    double *t = tn_xcalloc(h, sizeof *t), *q = tn_xcalloc(wide, sizeof *q), *a = tn_xcalloc(most, sizeof *a);
    double *up = tn_xcalloc(s->ffn, sizeof *up), by = m->arch->three_scales ? (double)tn_gm_scales[1] : 1;
    for (uint32_t pos = 0; pos < n; pos++, x += h) {
        rmsnorm(x, l->attn_norm, h, s->eps, t);
        linear(&l->q, s->eps, t, q);
        linear(&l->k, s->eps, t, k + (size_t)pos * narrow);
        linear(&l->v, s->eps, t, v + (size_t)pos * narrow);
        for (uint32_t i = 0; l->q_norm && i < s->heads; i++)
            rmsnorm(q + i * head, l->q_norm, head, s->eps, q + i * head);
        for (uint32_t i = 0; l->k_norm && i < s->kv_heads; i++) {
            double *of = k + (size_t)pos * narrow + i * head;
            rmsnorm(of, l->k_norm, head, s->eps, of);
        }
        rope(m, local, q, s->heads, pos);
        rope(m, local, k + (size_t)pos * narrow, s->kv_heads, pos);
        for (uint32_t i = 0; i < s->heads; i++) {
            uint32_t kv = i / (s->heads / s->kv_heads) * head;
            uint32_t first = window && pos + 1 > window ? pos + 1 - window : 0;
            attend(q + i * head, k + kv, v + kv, narrow, head, first, pos, a + i * head);
        }
        if (l->attn_sub_norm) rmsnorm(a, l->attn_sub_norm, wide, s->eps, a);
        linear(&l->o, s->eps, a, t);
        if (l->post_attn) rmsnorm(t, l->post_attn, h, s->eps, t);
        for (uint32_t i = 0; i < h; i++) x[i] += t[i] * by;
        rmsnorm(x, l->ffn_norm, h, s->eps, t);
        linear(&l->gate, s->eps, t, a);
        linear(&l->up, s->eps, t, up);
        for (uint32_t i = 0; i < s->ffn; i++) a[i] = activated(m, a[i]) * up[i];
        if (l->ffn_sub_norm) rmsnorm(a, l->ffn_sub_norm, s->ffn, s->eps, a);
        linear(&l->down, s->eps, a, t);
        if (l->post_ffn) rmsnorm(t, l->post_ffn, h, s->eps, t);
        for (uint32_t i = 0; i < h; i++) x[i] += t[i] * by;
    }
    double *all[] = {k, v, t, q, a, up};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

void tn_ref_model_run(const TnRefModel *m, const int32_t *ids, uint32_t n, double *logits, double *hidden) {
    uint32_t h = m->s->hidden;
    double *x = tn_xcalloc((size_t)n * h, sizeof *x);
    for (uint32_t i = 0; i < n; i++) memcpy(x + (size_t)i * h, m->embd + (size_t)ids[i] * h, h * sizeof *x);
    for (size_t i = 0; m->arch->three_scales && i < (size_t)n * h; i++) x[i] *= (double)tn_gm_scales[0];
    for (size_t i = 0; m->arch->root_scale && i < (size_t)n * h; i++) x[i] *= sqrt(h);
    for (uint32_t i = 0; i < m->s->layers; i++) layer(m, i, n, x);
    for (uint32_t i = 0; i < n; i++) {
        rmsnorm(x + (size_t)i * h, m->norm, h, m->s->eps, hidden + (size_t)i * h);
        double *row = logits + (size_t)i * m->s->vocab;
        linear(&m->head, m->s->eps, hidden + (size_t)i * h, row);
        for (uint32_t j = 0; m->arch->three_scales && j < m->s->vocab; j++) row[j] /= (double)tn_gm_scales[2];
    }
    free(x);
}

double tn_row_error(const float *a, const double *b, size_t n) {
    double diff = 0, norm = 0;
    for (size_t i = 0; i < n; i++) {
        diff += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        norm += b[i] * b[i];
    }
    return sqrt(diff / norm);
}
