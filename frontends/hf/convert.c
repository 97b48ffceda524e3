/* A folder as a GGUF: keys from config.json and the tokenizer's files, then the tensors, one after the other and a few rows at
 * a time, so that memory holds one tensor of the checkpoint at most, as pages of its file. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/hf/internal.h"
#include "runtime/base/half.h"

enum { ROWS = 128 }; /* at a time: whole blocks of every type, whatever the columns */

struct TnHfModel {
    TnHfFolder *f;
    TnHfConfig c;
    TnHfOptions options;
    TnPlanner p;
    TnGgufWriter *w;
};

void tn_hf_note(const TnHfOptions *o, const char *fmt, ...) {
    char line[400];
    va_list ap;
    if (!o->note) return;
    va_start(ap, fmt);
    tn_message(line, sizeof line, fmt, ap);
    va_end(ap);
    o->note(o->user, line);
}

/* The last part of the path, as people call the model. */
static void put_name(TnHfModel *m) {
    const char *path = m->f->path, *from = path;
    size_t n = strlen(path);
    while (n && path[n - 1] == '/') n--;
    for (const char *p = path; p < path + n; p++)
        if (*p == '/') from = p + 1;
    n = (size_t)(path + n - from);
    if (n == 0 || *from == '.') from = "model", n = 5;
    tn_gguf_put_str(m->w, "general.name", from, n);
}

static TernStatus open_model(TnHfModel *m, const char *path, TernError *err) {
    TN_TRY(tn_hf_folder_open(path, &m->f, err));
    TN_TRY(tn_hf_config(m->f, m->w, &m->c, err));
    TN_TRY(tn_hf_pooling(m->f, &m->c, m->w, err));
    put_name(m);
    m->p = (TnPlanner){.f = m->f, .c = &m->c, .options = &m->options, .err = err};
    TN_TRY(tn_hf_plan(&m->p));
    TN_TRY(tn_hf_tokenizer(m->f, &m->c, &m->options, m->w, err));
    tn_gguf_put_u32(m->w, "general.file_type", m->p.file_type);
    tn_gguf_put_str(m->w, TN_HF_CONVERTER, TN_HF_SELF, strlen(TN_HF_SELF));
    tn_gguf_put_str(m->w, TN_HF_PACKER, TN_HF_SELF, strlen(TN_HF_SELF));
    for (size_t i = 0; i < m->p.n_plans; i++) {
        const TnPlan *t = &m->p.plans[i];
        uint64_t ne[2] = {t->cols, t->rows};
        tn_gguf_put_tensor(m->w, t->name, t->id, t->rank, ne, t->bytes);
    }
    return TERN_OK;
}

TernStatus tn_hf_open(const char *path, const TnHfOptions *options, TnHfModel **out, TernError *err) {
    TnHfModel *m = tn_xcalloc(1, sizeof *m);
    if (options) m->options = *options;
    m->w = tn_gguf_writer_create();
    TernStatus st = open_model(m, path, err);
    if (st != TERN_OK) {
        tn_hf_close(m);
        return st;
    }
    *out = m;
    return TERN_OK;
}

void tn_hf_close(TnHfModel *m) {
    if (!m) return;
    free(m->p.plans);
    json_decref(m->c.json);
    tn_gguf_writer_destroy(m->w);
    tn_hf_folder_close(m->f);
    free(m);
}

size_t tn_hf_size(const TnHfModel *m) {
    return tn_gguf_put_size(m->w);
}

/* ---- Data */

typedef struct Rows {
    int8_t *trits;
    float *scales, *numbers;
    uint8_t *out;
} Rows;

static void free_rows(Rows *r) {
    free(r->trits);
    free(r->scales);
    free(r->numbers);
    free(r->out);
}

/* Refuses a scale of a group that f16 does not have. One of a whole matrix was rounded when it was made. */
static TernStatus check_scales(const TnHfModel *m, const TnPlan *t, const float *scales, size_t n,
                               TernError *err) {
    for (size_t i = 0; t->m.group && i < n; i++)
        if (tn_f16_to_f32(tn_f32_to_f16(scales[i])) != scales[i])
            return tn_fail(err, TERN_ERR_UNSUPPORTED, "%s: tensor %s has the scale %g, which is no f16",
                           m->f->path, t->m.t->name, (double)scales[i]);
    return TERN_OK;
}

static TernStatus write_rows(TnHfModel *m, const TnPlan *t, Rows *rows, TernError *err) {
    uint32_t block = t->type->block;
    for (uint64_t r = 0; r < t->rows; r += ROWS) {
        uint64_t n = t->rows - r < ROWS ? t->rows - r : ROWS;
        size_t all = n * t->cols;
        TN_TRY(tn_matrix_read(&t->m, r, n, block, rows->trits, rows->scales, m->f->path, err));
        if (block) TN_TRY(check_scales(m, t, rows->scales, all / block, err));
        size_t bytes = tn_trit_pack(t->type, rows->trits, rows->scales, all, rows->out);
        TN_TRY(tn_gguf_put_data(m->w, rows->out, bytes, err));
    }
    if (block) return TERN_OK;
    uint8_t tail[32] = {0};
    memcpy(tail, &t->m.scale, 4);
    return tn_gguf_put_data(m->w, tail, sizeof tail, err);
}

static TernStatus write_matrix(TnHfModel *m, TnPlan *t, TernError *err) {
    size_t n = ROWS * t->cols, block = t->type->block;
    if (t->m.form == TN_MATRIX_MASTER) tn_matrix_absmean(&t->m);
    if (block && !t->m.group) { /* as the file will have it */
        float kept = tn_f16_to_f32(tn_f32_to_f16(t->m.scale));
        if (kept != t->m.scale && t->m.form != TN_MATRIX_MASTER)
            tn_hf_note(&m->options, "%s: the scale %g becomes %g in f16", t->name, (double)t->m.scale,
                       (double)kept);
    }
    Rows rows = {.trits = tn_xcalloc(n, 1),
                 .scales = tn_xcalloc(block ? n / block : 1, sizeof(float)),
                 .out = tn_xcalloc(n, 1)}; /* a weight never takes a byte */
    TernStatus st = write_rows(m, t, &rows, err);
    free_rows(&rows);
    return st;
}

/* The numbers of a vector change places as rows do. */
static void turn(const TnPlan *t, float *x) {
    float *from = tn_xcalloc(t->cols, sizeof *from);
    memcpy(from, x, t->cols * sizeof *x);
    for (uint64_t i = 0; i < t->cols; i++) x[i] = from[tn_matrix_row(&t->m, i)];
    free(from);
}

static TernStatus write_table(TnHfModel *m, const TnPlan *t, TernError *err) {
    size_t bytes = tn_float_bytes(t->id, t->cols);
    Rows rows = {.numbers = tn_xcalloc(t->cols, sizeof(float)), .out = tn_xcalloc(bytes, 1)};
    TernStatus st = TERN_OK;
    for (uint64_t r = 0; r < t->rows && st == TERN_OK; r++) {
        tn_safe_floats(t->m.t, r * t->cols, t->cols, rows.numbers);
        if (t->rank == 1 && t->m.heads) turn(t, rows.numbers);
        for (uint64_t i = 0; t->plus != 0 && i < t->cols; i++) rows.numbers[i] += t->plus;
        tn_float_pack(t->id, rows.numbers, t->cols, rows.out);
        st = tn_gguf_put_data(m->w, rows.out, bytes, err);
    }
    free_rows(&rows);
    return st;
}

static TernStatus write_tensor(TnHfModel *m, TnPlan *t, TernError *err) {
    if (t->form == TN_PLAN_NUMBERS) return tn_gguf_put_data(m->w, t->numbers, t->bytes, err);
    TN_TRY(t->form == TN_PLAN_MATRIX ? write_matrix(m, t, err) : write_table(m, t, err));
    tn_os_advise_dontneed(t->m.t->data, t->m.t->bytes);
    return TERN_OK;
}

TernStatus tn_hf_write(TnHfModel *m,
                       TernStatus (*sink)(void *ctx, const void *bytes, size_t n, TernError *err), void *ctx,
                       TernError *err) {
    TN_TRY(tn_gguf_put_head(m->w, sink, ctx, err));
    for (size_t i = 0; i < m->p.n_plans; i++) TN_TRY(write_tensor(m, &m->p.plans[i], err));
    tn_gguf_put_end(m->w);
    return TERN_OK;
}
