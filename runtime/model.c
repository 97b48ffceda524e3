#include "runtime/model.h"

#include <stdlib.h>
#include <string.h>
#include "runtime/base/buf.h"
#include "runtime/base/hash.h"
#include "runtime/base/options.h"
#include "runtime/base/single.h"

uint32_t tn_model_variants(const TernModel *m, uint32_t kv, const TnVariant **out, uint32_t cap) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->n_variants; i++) { /* in rising order of rows, as checked at open */
        const TnVariant *v = &m->variants[i];
        if (v->prog.level != m->level || v->prog.kv != kv) continue;
        if (n < cap) out[n] = v;
        n++;
    }
    return n;
}

/* Open and close */

static const TnField kernels_fields[] = {TN_FIELD(TernKernels, user), TN_FIELD(TernKernels, scratch),
                                         TN_FIELD(TernKernels, run), TN_FIELD(TernKernels, destroy),
                                         TN_FIELD(TernKernels, watch)};
static const TnShape kernels_shape = TN_SHAPE(TernKernels, kernels_fields);
static const TnField model_fields[] = {
    TN_FIELD(TernModelOptions, cpu),     TN_FIELD(TernModelOptions, no_check),
    TN_FIELD(TernModelOptions, huge),    TN_FIELD(TernModelOptions, kernels),
    TN_FIELD(TernModelOptions, release), TN_FIELD(TernModelOptions, release_user),
    TN_FIELD(TernModelOptions, device)};
static const TnShape model_shape = TN_SHAPE(TernModelOptions, model_fields);

static TernStatus make_engine(const TernModelOptions *o, TernModel *m, TernKernels *kernels, TernError *err) {
    if (!o->kernels) return tn_engine_named(o->device, &m->engine, err);
    if (o->device)
        return tn_fail(err, TERN_ERR_INPUT,
                       "TernModelOptions.device is '%s', which has no effect beside kernels", o->device);
    TN_TRY(tn_options_take(&kernels_shape, o->kernels, kernels, err));
    return tn_engine_evaluated(kernels, &m->engine, err);
}

static void destroy(TernModel *m) {
    if (m->engine) {
        tn_model_drop_weights(m);
        m->engine->close(m->engine);
    }
    tn_file_unmap(&m->file);
    tn_arena_free(&m->arena);
    pthread_mutex_destroy(&m->lock);
    free(m->name);
    free(m);
}

static TernModel *create(const char *name, TnEngine *engine) {
    TernModel *m = tn_xcalloc(1, sizeof *m);
    size_t n = strlen(name) + 1;
    m->name = tn_xcalloc(1, n);
    memcpy(m->name, name, n);
    pthread_mutex_init(&m->lock, NULL);
    m->engine = engine;
    return m;
}

static TernStatus open_blob(TernModel *m, const void *bytes, size_t size, const char *cpu, TernError *err) {
    TN_TRY(tn_blob_open(bytes, size, &m->blob, err));
    TN_TRY(tn_meta_read(&m->blob, &m->arena, &m->meta, err));
    TN_TRY(tn_variants_read(&m->blob, &m->meta, &m->arena, &m->variants, &m->n_variants, err));
    TN_TRY(tn_model_choose_level(m, cpu, err));
    if (m->engine->coded) TN_TRY(tn_model_load_code(m, err));
    tn_model_find_chunks(m);
    return TERN_OK;
}

/* Opens the file, or if path is NULL the bytes, which stay the caller's; close calls release for them. */
static TernStatus open_model(TernModel *m, const char *path, const void *bytes, size_t size,
                             const TernModelOptions *options, TernError *err) {
    TernModelOptions o = {0};
    TernKernels kernels = {0};
    TN_TRY(tn_options_take(&model_shape, options, &o, err));
    if (!m->engine) TN_TRY(make_engine(&o, m, &kernels, err));
    if (path) {
        TN_TRY(tn_file_map_kept(path, &m->file, err));
        const uint8_t *data = m->file.data;
        size_t n = m->file.size;
        TernStatus s = tn_single_open(&data, &n, err);
        if (s == TERN_OK) s = open_blob(m, data, n, o.cpu, err);
        if (s != TERN_OK) return tn_fail_in(err, s, "%s", path);
    } else {
        if ((uintptr_t)bytes % 64 != 0)
            return tn_fail(err, TERN_ERR_INPUT, "model in memory: its address is not a multiple of 64");
        TN_TRY(open_blob(m, bytes, size, o.cpu, err));
        m->release = o.release;
        m->release_user = o.release_user;
    }
    m->check_weights = !o.no_check;
    m->huge = o.huge;
    /* Weights given in memory stay where the caller has put them, unless kernels cannot read them there. */
    m->carry_weights = m->engine->apart || (o.huge && path);
    m->destroy_kernels = kernels.destroy;
    m->kernels_user = kernels.user;
    return TERN_OK;
}

static TernStatus open_or_destroy(TernModel *m, const char *path, const void *bytes, size_t size,
                                  const TernModelOptions *options, TernModel **out, TernError *err) {
    TernStatus s = open_model(m, path, bytes, size, options, err);
    if (s == TERN_OK)
        *out = m;
    else
        destroy(m);
    return s;
}

TernStatus tern_model_open(const char *path, const TernModelOptions *options, TernModel **out,
                           TernError *err) {
    tn_error_clear(err);
    TN_NEED(path, err);
    TN_NEED(out, err);
    return open_or_destroy(create(path, NULL), path, NULL, 0, options, out, err);
}

TernStatus tn_model_open_on(TnEngine *engine, const void *bytes, size_t size, const TernModelOptions *options,
                            TernModel **out, TernError *err) {
    return open_or_destroy(create("model in memory", engine), NULL, bytes, size, options, out, err);
}

TernStatus tern_model_open_memory(const void *bytes, size_t size, const TernModelOptions *options,
                                  TernModel **out, TernError *err) {
    tn_error_clear(err);
    TN_NEED(bytes, err);
    TN_NEED(out, err);
    return tn_model_open_on(NULL, bytes, size, options, out, err);
}

void tern_model_close(TernModel *m) {
    if (!m) return;
    if (m->destroy_kernels) m->destroy_kernels(m->kernels_user);
    if (m->release) m->release(m->release_user, m->blob.data, m->blob.size);
    destroy(m);
}

/* What is in it */

_Static_assert((int)TERN_POOLING_MEAN == (int)TN_POOLING_MEAN &&
                   (int)TERN_POOLING_CLS == (int)TN_POOLING_CLS &&
                   (int)TERN_POOLING_LAST == (int)TN_POOLING_LAST &&
                   (int)TERN_POOLING_NONE == (int)TN_POOLING_NONE,
               "tern.h and abi/blob.h number poolings alike");
void tern_model_info(const TernModel *m, TernModelInfo *out) {
    if (!m || !out) {
        if (out) *out = (TernModelInfo){0};
        return;
    }
    const TnBlobMeta *f = &m->meta.facts;
    *out = (TernModelInfo){
        .arch = m->meta.arch,
        .name = m->meta.name,
        .desc = m->meta.desc,
        .level = tn_level_name(m->engine->coded ? m->level : TN_LEVEL_REF),
        .n_params = f->n_params,
        .file_bytes = m->blob.size,
        .device = m->engine->coded ? m->engine->name : "cpu",
        .pooling = (TernPooling)f->pooling,
    };
#define TAKE(count) out->count = f->count;
    TN_MODEL_COUNTS(TAKE)
#undef TAKE
    for (uint32_t i = 0; i < m->n_variants; i++) {
        const TnVariant *v = &m->variants[i];
        if (v->prog.level != m->level) continue;
        if (v->prog.rows_hi > out->max_rows) out->max_rows = v->prog.rows_hi;
        if (v->plan.weight_bytes > out->weight_bytes) out->weight_bytes = v->plan.weight_bytes;
    }
}

uint64_t tern_model_huge_bytes(const TernModel *m) {
    const TnBlobSection *wght = tn_blob_section(&m->blob, TN_SECTION_WGHT, 0);
    return m->engine->apart ? 0 : tn_os_huge_bytes((const void *)tn_model_weights(m), (size_t)wght->size);
}

const void *tern_model_vocab(const TernModel *m, size_t *out_size) {
    *out_size = m->meta.vocab_bytes;
    return m->meta.vocab;
}

/* The table has the hash of every section, and that of WGHT stands for the hashes of its chunks. META has names and the
 * context. Offsets depend on the lengths of the names, so they do not count. */
TernHash tern_model_hash(const TernModel *m) {
    TnBuf text = {0};
    TernHash out;
    tn_buf_puts(&text, tern_version());
    for (uint32_t i = 0; i < m->blob.n_sections; i++) {
        const TnBlobSection *s = &m->blob.sections[i];
        if (s->kind == TN_SECTION_META) continue;
        tn_buf_put(&text, &s->kind, sizeof s->kind);
        tn_buf_put(&text, &s->level, sizeof s->level);
        tn_buf_put(&text, s->hash, sizeof s->hash);
    }
    TnHash128 hash = tn_hash128(text.data, text.len);
    tn_buf_free(&text);
    memcpy(out.bytes, hash.bytes, sizeof out.bytes);
    return out;
}

_Static_assert((int)TERN_SECTION_TIR == (int)TN_SECTION_TIR, "tern.h names a section by its number");
const void *tern_model_section(const TernModel *m, uint32_t kind, uint32_t index, size_t *out_size) {
    const TnBlobSection *s = tn_blob_section(&m->blob, kind, index);
    *out_size = s ? s->size : 0;
    return s ? tn_blob_bytes(&m->blob, s) : NULL;
}
