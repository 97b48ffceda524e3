/* A GGUF with other types of tensors.
 *
 * Ternary matrices keep every weight and every scale: the matrix is refused if the type's blocks are larger than the groups
 * that share a scale, if a scale is no f16 where the type stores f16, or if a weight is 2 where it has -1, 0 and 1 alone.
 * They may become numbers, weight times scale: then nothing says any more that they are ternary, and their activations are
 * not rounded. Embedding and head that are numbers, or become numbers, are rounded to what the caller asks for. All else is
 * copied. */
#include <stdlib.h>
#include <string.h>
#include "frontends/hf/internal.h"
#include "ir/weights.h"
#include "runtime/base/half.h"

enum { ROWS = 128 };

typedef enum Form { COPIED, REPACKED, UNPACKED, ROUNDED } Form;
typedef struct Tensor {
    const TnGgufTensor *t;
    Form form;
    TnType type;
    TnStoredScale scale;
    const TnTritType *to; /* of REPACKED */
    uint32_t id;
    size_t bytes;
    bool rounded; /* to o->embd */
} Tensor;

typedef struct Between {
    const TnGguf *g;
    const TnHfOptions *o;
    const TnTritType *to; /* NULL: matrices stay, or become numbers */
    bool numbers;
    uint32_t number; /* their type, then */
    uint32_t table;  /* of embedding and head, if o->embd */
    TnGgufWriter *w;
    Tensor *tensors;
    size_t n_ternary, n_tables; /* n_tables: those that become o->embd */
    TernError *err;
} Between;

/* ---- What becomes of each tensor */

static TernStatus cannot(const Between *b, const TnGgufTensor *t, const char *why) {
    return tn_fail(b->err, TERN_ERR_UNSUPPORTED, "%s: tensor %s %s, which %s cannot hold", b->g->path,
                   t->name, why, b->to->name);
}

static bool is_f16(float s) {
    return tn_f16_to_f32(tn_f32_to_f16(s)) == s;
}

static TernStatus plan_repacked(const Between *b, Tensor *p) {
    const TnGgufTensor *t = p->t;
    bool row = p->scale.group == TN_GROUP_ROW;
    uint64_t group = row ? t->ne[0] : p->scale.group;
    p->to = b->to;
    p->form = REPACKED;
    p->id = b->to->id;
    p->bytes = tn_trit_bytes(b->to, t->ne[1], t->ne[0]);
    if (!p->bytes)
        return tn_fail(b->err, TERN_ERR_UNSUPPORTED,
                       "%s: tensor %s has rows of %llu columns, which %s does not divide", b->g->path,
                       t->name, (unsigned long long)t->ne[0], b->to->name);
    if (p->scale.two && !b->to->two) return cannot(b, t, "has weights of 2");
    if (group && (!b->to->block || group % b->to->block))
        return cannot(b, t, "has scales for smaller groups");
    if (!group && b->to->block && !is_f16(p->scale.scale))
        return tn_fail(b->err, TERN_ERR_UNSUPPORTED,
                       "%s: tensor %s has the scale %.9g, which is no f16, as %s needs", b->g->path, t->name,
                       (double)p->scale.scale, b->to->name);
    return TERN_OK;
}

/* A table, embedding or head, as o->embd says. */
static TernStatus plan_table(Between *b, Tensor *p, Form form) {
    p->form = form;
    p->rounded = true;
    p->id = b->table;
    p->bytes = tn_float_bytes(p->id, p->t->ne[0]) * p->t->ne[1];
    b->n_tables++;
    if (p->bytes) return TERN_OK;
    return tn_fail(b->err, TERN_ERR_UNSUPPORTED,
                   "TerncConvert.embd: tensor %s of %s has rows of %llu numbers", p->t->name, b->g->path,
                   (unsigned long long)p->t->ne[0]);
}

static TernStatus plan_ternary(Between *b, Tensor *p, bool table) {
    const TnGgufTensor *t = p->t;
    if (t->rank > 2)
        return tn_fail(b->err, TERN_ERR_UNSUPPORTED,
                       "%s: tensor %s is ternary and has %u dimensions, expected at most 2", b->g->path,
                       t->name, t->rank);
    TernStatus st = tn_stored_scale(&p->type, t->data, t->name, &p->scale, b->err);
    if (st != TERN_OK) return tn_fail_in(b->err, st, "%s", b->g->path);
    p->type.group = p->scale.group;
    b->n_ternary++;
    if (b->to) return plan_repacked(b, p);
    if (table) return plan_table(b, p, UNPACKED);
    p->form = UNPACKED;
    p->id = b->number;
    p->bytes = tn_float_bytes(p->id, t->ne[0]) * t->ne[1];
    return TERN_OK;
}

static TernStatus plan(Between *b, Tensor *p, const TnGgufTensor *t) {
    bool table =
        b->o->embd && (strcmp(t->name, "token_embd.weight") == 0 || strcmp(t->name, "output.weight") == 0);
    bool ternary = tn_enc_is_ternary(t->enc);
    *p = (Tensor){.t = t, .form = COPIED, .id = t->type, .bytes = t->bytes};
    p->type = tn_type(t->enc, 2, (TnDim)(t->ne[1] * t->ne[2] * t->ne[3]), (TnDim)t->ne[0]);
    if (ternary && table && !b->numbers)
        return tn_fail(b->err, TERN_ERR_UNSUPPORTED,
                       "TerncConvert.embd: tensor %s of %s is ternary, expected numbers", t->name,
                       b->g->path);
    if (ternary && b->o->type) return plan_ternary(b, p, table);
    return table ? plan_table(b, p, ROUNDED) : TERN_OK;
}

static TernStatus options(Between *b) {
    const char *type = b->o->type, *embd = b->o->embd;
    b->to = type ? tn_trit_type(type) : NULL;
    b->numbers = type && !b->to && tn_float_type(type, &b->number) &&
                 (b->number == TN_GGUF_ID_F32 || b->number == TN_GGUF_ID_F16);
    if (type && !b->to && !b->numbers)
        return tn_fail(
            b->err, TERN_ERR_INPUT,
            "TerncConvert.type: '%s', expected i2_s, tq1_0, tq2_0, q2_0, pq2_0, ptq1_0, f16 or f32", type);
    if (embd && !tn_float_type(embd, &b->table))
        return tn_fail(b->err, TERN_ERR_INPUT, "TerncConvert.embd: '%s', expected f32, f16, bf16 or q8_0",
                       embd);
    return TERN_OK;
}

/* ---- Keys */

static void put_keys(const Between *b) {
    enum { ALL_F32 = 0, MOSTLY_F16 = 1 };
    static const char split[] = "split.", alignment[] = "general.alignment",
                      file_type[] = "general.file_type";
    bool other = b->to || b->numbers;
    uint32_t says = b->to ? b->to->file_type : b->number == TN_GGUF_ID_F16 ? MOSTLY_F16 : ALL_F32;
    for (size_t i = 0; i < b->g->n_keys; i++) {
        const TnGgufKey *k = &b->g->keys[i];
        if (strncmp(k->name, split, sizeof split - 1) == 0 || strcmp(k->name, alignment) == 0) continue;
        if (other && strcmp(k->name, TN_HF_PACKER) == 0) continue;
        if (other && strcmp(k->name, file_type) == 0) /* at its place: keys keep their order */
            tn_gguf_put_u32(b->w, file_type, says);
        else
            tn_gguf_put_key(b->w, k);
    }
    if (other && !tn_gguf_put_has(b->w, file_type)) tn_gguf_put_u32(b->w, file_type, says);
    if (other) tn_gguf_put_str(b->w, TN_HF_PACKER, TN_HF_SELF, strlen(TN_HF_SELF));
}

/* ---- Data */

typedef struct Rows {
    int8_t *trits;
    float *own, *scales, *numbers; /* of a row as it is stored; of the new blocks */
    uint8_t *out;
} Rows;

/* Reads a row, with a scale for each block of the new type. */
static TernStatus read_row(const Between *b, const Tensor *p, int64_t row, Rows *r, int8_t *trits,
                           float *scales) {
    size_t cols = p->t->ne[0], block = p->to->block, blocks = block ? cols / block : 0;
    tn_decode_trits(&p->type, p->t->data, row, trits);
    int64_t own = tn_type_row_scales(&p->type);
    if (own) tn_decode_scales(&p->type, p->t->data, row, r->own);
    for (size_t i = 0; i < blocks; i++) {
        scales[i] = own ? r->own[i * (size_t)own / blocks] : p->scale.scale;
        if (!is_f16(scales[i]))
            return tn_fail(b->err, TERN_ERR_UNSUPPORTED,
                           "%s: tensor %s has the scale %.9g, which is no f16, as %s needs", b->g->path,
                           p->t->name, (double)scales[i], p->to->name);
    }
    return TERN_OK;
}

static TernStatus repack(const Between *b, const Tensor *p, Rows *r) {
    uint64_t rows = p->t->ne[1], cols = p->t->ne[0];
    size_t blocks = p->to->block ? cols / p->to->block : 0;
    for (uint64_t at = 0; at < rows; at += ROWS) {
        uint64_t n = rows - at < ROWS ? rows - at : ROWS;
        for (uint64_t i = 0; i < n; i++)
            TN_TRY(read_row(b, p, (int64_t)(at + i), r, r->trits + i * cols, r->scales + i * blocks));
        size_t bytes = tn_trit_pack(p->to, r->trits, r->scales, n * cols, r->out);
        TN_TRY(tn_gguf_put_data(b->w, r->out, bytes, b->err));
    }
    if (blocks) return TERN_OK;
    uint8_t tail[32] = {0};
    memcpy(tail, &p->scale.scale, 4);
    return tn_gguf_put_data(b->w, tail, sizeof tail, b->err);
}

/* Numbers are exact in f32. In f16 they are if the scale is, and twice the scale is still finite. Those of a table are
 * rounded to o->embd, as a table's numbers always are. */
static TernStatus unpack_rows(const Between *b, const Tensor *p, Rows *r) {
    bool exact = p->id == TN_GGUF_ID_F16 && !p->rounded;
    size_t cols = p->t->ne[0], own = (size_t)tn_type_row_scales(&p->type), n = own ? own : 1, wide = cols / n;
    for (uint64_t row = 0; row < p->t->ne[1]; row++) {
        tn_decode_trits(&p->type, p->t->data, (int64_t)row, r->trits);
        r->own[0] = p->scale.scale;
        if (own) tn_decode_scales(&p->type, p->t->data, (int64_t)row, r->own);
        for (size_t i = 0; i < cols; i++) {
            r->numbers[i] = r->own[i / wide] * r->trits[i];
            if (exact && !is_f16(r->numbers[i]))
                return tn_fail(b->err, TERN_ERR_UNSUPPORTED,
                               "%s: tensor %s has the weight %.9g, which is no f16", b->g->path, p->t->name,
                               (double)r->numbers[i]);
        }
        tn_float_pack(p->id, r->numbers, cols, r->out);
        TN_TRY(tn_gguf_put_data(b->w, r->out, tn_float_bytes(p->id, cols), b->err));
    }
    return TERN_OK;
}

static TernStatus round_rows(const Between *b, const Tensor *p, Rows *r) {
    size_t bytes = tn_float_bytes(p->id, p->t->ne[0]);
    for (uint64_t row = 0; row < p->t->ne[1]; row++) {
        tn_decode_raw(&p->type, p->t->data, (int64_t)row, r->numbers);
        tn_float_pack(p->id, r->numbers, p->t->ne[0], r->out);
        TN_TRY(tn_gguf_put_data(b->w, r->out, bytes, b->err));
    }
    return TERN_OK;
}

static TernStatus put_tensor(const Between *b, const Tensor *p) {
    enum { SLACK = 1024 }; /* a decoder of trits may write whole blocks */
    size_t cols = p->t->ne[0];
    if (p->form == COPIED) return tn_gguf_put_data(b->w, p->t->data, p->t->bytes, b->err);
    Rows r = {.trits = tn_xcalloc(ROWS * cols + SLACK, 1),
              .own = tn_xcalloc(cols + 1, sizeof(float)),
              .scales = tn_xcalloc(ROWS * (cols / 64 + 1), sizeof(float)),
              .numbers = tn_xcalloc(cols, sizeof(float)),
              .out = tn_xcalloc(ROWS * cols + 4, 1)};
    TernStatus st = p->form == REPACKED   ? repack(b, p, &r)
                    : p->form == UNPACKED ? unpack_rows(b, p, &r)
                                          : round_rows(b, p, &r);
    free(r.trits);
    free(r.own);
    free(r.scales);
    free(r.numbers);
    free(r.out);
    return st;
}

static TernStatus write_all(Between *b, TnGgufSink *sink, void *ctx) {
    const TnGguf *g = b->g;
    TN_TRY(options(b));
    TN_TRY(tn_gguf_whole(g, b->err));
    for (size_t i = 0; i < g->n_tensors; i++) {
        TN_TRY(plan(b, &b->tensors[i], &g->tensors[i]));
        tn_os_advise_dontneed(g->tensors[i].data, g->tensors[i].bytes);
    }
    if (b->o->type && !b->n_ternary)
        return tn_fail(b->err, TERN_ERR_INPUT, "TerncConvert.type: %s has no ternary matrices", g->path);
    if (b->o->embd && !b->n_tables)
        return tn_fail(b->err, TERN_ERR_INPUT, "TerncConvert.embd: %s has no embedding or head", g->path);
    put_keys(b);
    for (size_t i = 0; i < g->n_tensors; i++) {
        const Tensor *p = &b->tensors[i];
        tn_gguf_put_tensor(b->w, p->t->name, p->id, p->t->rank, p->t->ne, p->bytes);
    }
    TN_TRY(tn_gguf_put_head(b->w, sink, ctx, b->err));
    for (size_t i = 0; i < g->n_tensors; i++) {
        TN_TRY(put_tensor(b, &b->tensors[i]));
        tn_os_advise_dontneed(g->tensors[i].data, g->tensors[i].bytes);
    }
    tn_gguf_put_end(b->w);
    return TERN_OK;
}

TernStatus tn_hf_between(const TnGguf *g, const TnHfOptions *o, TnGgufSink *sink, void *ctx, TernError *err) {
    Between b = {.g = g, .o = o, .w = tn_gguf_writer_create(), .err = err};
    b.tensors = tn_xcalloc(g->n_tensors + 1, sizeof *b.tensors);
    TernStatus st = write_all(&b, sink, ctx);
    tn_gguf_writer_destroy(b.w);
    free(b.tensors);
    return st;
}
