#include "runtime/model.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/cpu.h"
#include "runtime/base/options.h"

/* Choice of the feature level */

typedef struct Names {
    char text[160];
} Names;

/* "avx512-vnni, avx2": the levels of the blob, best first. */
static Names blob_levels(const TernModel *m) {
    Names n = {""};
    size_t at = 0;
    for (size_t row = TN_LEVEL_COUNT + 1; row-- > 0;) { /* the table's last first, ref at the end */
        uint32_t number = row ? tn_level_row(row - 1)->number : TN_LEVEL_REF;
        bool has = false;
        for (uint32_t i = 0; i < m->n_variants; i++) has |= m->variants[i].prog.level == number;
        const char *name = tn_level_name(number);
        if (has && name && at < sizeof n.text)
            at += (size_t)snprintf(n.text + at, sizeof n.text - at, "%s%s", at ? ", " : "", name);
    }
    return n;
}

/* Compiled code: the best level that the machine has. Evaluated: the level decides only which plan and which
 * packing of the weights is walked, so the machine does not matter; with a cap the best below it, else the
 * least. */
static TernStatus choose_level(TernModel *m, const char *cpu, TernError *err) {
    uint32_t cap = cpu ? tn_level_number(cpu) : UINT32_MAX;
    if (cpu && (cap == UINT32_MAX || cap == TN_LEVEL_REF))
        return tn_fail(err, TERN_ERR_INPUT, "cpu level '%s' is unknown, expected one of %s", cpu,
                       TN_LEVEL_NAMES);
    const char *here = tern_cpu_levels();
    if (cpu && m->coded && tn_level_foreign(cap))
        return tn_fail(
            err, TERN_ERR_UNSUPPORTED,
            "cpu level '%s' is of another architecture, wanted a level of this machine's, which runs %s", cpu,
            *here ? here : "none of the levels");
    bool found = false;
    for (uint32_t i = 0; i < m->n_variants; i++) {
        uint32_t level = m->variants[i].prog.level;
        if (!tn_level_name(level) || (cpu && !tn_level_under(level, cap))) continue;
        if (m->coded && !tn_level_runs_here(level)) continue;
        bool better =
            !m->coded && !cpu ? tn_level_preferred(m->level, level) : tn_level_preferred(level, m->level);
        if (!found || better) m->level = level;
        found = true;
    }
    if (found) return TERN_OK;
    return tn_fail(
        err, TERN_ERR_UNSUPPORTED,
        "the file has code for %s, this machine runs %s%s%s: run it evaluated (ternc_open_ref), or compile "
        "the model for this machine",
        blob_levels(m).text, *here ? here : "none of the levels", cpu ? ", capped at " : "", cpu ? cpu : "");
}

uint32_t tn_model_variants(const TernModel *m, uint32_t kv, const TnVariant **out, uint32_t cap) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->n_variants; i++) { /* checked at open: in the blob's order rows rise */
        const TnVariant *v = &m->variants[i];
        if (v->prog.level != m->level || v->prog.kv != kv) continue;
        if (n < cap) out[n] = v;
        n++;
    }
    return n;
}

/* Code */

static TnImage *find_image(const TernModel *m, uint32_t section) {
    for (uint32_t i = 0; i < m->n_images; i++)
        if (m->images[i].section == section) return &m->images[i];
    return NULL;
}

/* The section's hash was right in the file; it must be right in the copy too, and everything is read from the
 * copy: what happens to the file later is none of our concern. */
static TernStatus map_image(TernModel *m, uint32_t section, TernError *err) {
    const TnBlobSection *s = &m->blob.sections[section];
    TnImage *image = &m->images[m->n_images];
    *image = (TnImage){.section = section, .bytes = s->size};
    TN_TRY(tn_os_map_code(tn_blob_bytes(&m->blob, s), s->size, &image->memory, err));
    m->n_images++;
    TN_TRY(tn_blob_check_copy(&m->blob, s, image->memory, err));
    return tn_code_read(&m->blob, s, image->memory, &m->arena, &image->entries, &image->n_entries, err);
}

static TernStatus map_code(TernModel *m, TernError *err) {
    m->images = tn_alloc_array(&m->arena, tn_blob_count(&m->blob, TN_SECTION_CODE) + 1u, sizeof *m->images);
    for (uint32_t i = 0; i < m->n_variants; i++) {
        const TnBlobProg *g = &m->variants[i].prog;
        if (g->level == m->level && g->level != TN_LEVEL_REF && !find_image(m, g->code))
            TN_TRY(map_image(m, g->code, err));
    }
    return TERN_OK;
}

TnKernelFn *tn_model_kernel(const TernModel *m, const TnVariant *v, const TnBlobLaunch *l) {
    const TnImage *image = find_image(m, v->prog.code);
    TN_CHECK(image && l->export_index < image->n_entries);
    uintptr_t at = (uintptr_t)image->memory + image->entries[l->export_index];
    return (TnKernelFn *)at;
}

/* Weights */

static void find_used_chunks(TernModel *m) {
    m->chunk_used = tn_alloc(&m->arena, tn_blob_chunks(&m->blob) + 1u);
    for (uint32_t i = 0; i < m->n_variants; i++) {
        const TnVariant *v = &m->variants[i];
        if (v->prog.level != m->level) continue;
        for (uint32_t j = 0; j < v->prog.n_operands; j++) {
            const TnBlobOperand *o = &v->operands[j];
            if (o->space != TN_SPACE_WGHT || o->row_bytes == 0) continue;
            size_t first = (size_t)(o->offset / TN_BLOB_CHUNK);
            size_t last = (size_t)((o->offset + o->row_bytes - 1) / TN_BLOB_CHUNK);
            memset(m->chunk_used + first, 1, last - first + 1);
        }
    }
}

typedef struct Check {
    const TernModel *m;
    uint32_t n;
    _Atomic uint32_t next, damaged; /* damaged: the first chunk that is, or n */
} Check;

/* Chunk by chunk: moved, verified where it then lies, and let go of in the file. So the weights are resident once, but
 * for a chunk a worker. */
static void check_chunks(void *user, uint32_t worker) {
    (void)worker;
    Check *c = user;
    const TernModel *m = c->m;
    const TnBlob *b = &m->blob;
    const TnBlobSection *wght = tn_blob_section(b, TN_SECTION_WGHT, 0);
    const uint8_t *stored = tn_blob_bytes(b, wght);
    for (uint32_t i; (i = atomic_fetch_add(&c->next, 1)) < c->n;) {
        size_t at = (size_t)i * TN_BLOB_CHUNK, left = (size_t)wght->size - at;
        size_t bytes = left < TN_BLOB_CHUNK ? left : TN_BLOB_CHUNK;
        bool move = m->moved && m->chunk_used[i];
        if (move) memcpy(m->moved + at, stored + at, bytes);
        if (m->check_weights && !tn_blob_chunk_ok(b, i, move ? m->moved + at : stored + at)) {
            uint32_t seen = atomic_load(&c->damaged);
            while (i < seen && !atomic_compare_exchange_weak(&c->damaged, &seen, i)) {
            }
        }
        /* What only another level reads need not stay in memory. The last chunk is shorter: it stays. */
        if (m->file.size && (move || !m->chunk_used[i]) && i + 1 < c->n)
            tn_os_advise_dontneed(stored + at, TN_BLOB_CHUNK);
    }
}

const uint8_t *tn_model_weights(const TernModel *m) {
    return m->moved ? m->moved : tn_blob_bytes(&m->blob, tn_blob_section(&m->blob, TN_SECTION_WGHT, 0));
}

/* The pool is acquired. */
static TernStatus check_weights(TernModel *m, TernPool *pool, TernError *err) {
    uint32_t n = tn_blob_chunks(&m->blob);
    if (m->move_weights && n) {
        void *memory;
        size_t bytes = (size_t)tn_blob_section(&m->blob, TN_SECTION_WGHT, 0)->size;
        TernStatus s = tn_os_map(bytes, true, &memory, err);
        if (s != TERN_OK) return tn_fail_in(err, s, "%s: huge pages for the weights", m->name);
        m->moved = memory;
        m->moved_bytes = bytes;
    }
    Check c = {.m = m, .n = n};
    atomic_init(&c.next, 0);
    atomic_init(&c.damaged, n);
    tn_pool_run(pool, check_chunks, &c);
    m->damaged_chunk = atomic_load(&c.damaged);
    m->weights = m->damaged_chunk < n ? TN_DAMAGED : TN_SOUND;
    return TERN_OK;
}

TernStatus tn_model_check_weights(TernModel *m, TernPool *pool, TernError *err) {
    if (!m->check_weights && !m->move_weights) return TERN_OK;
    TernStatus status = TERN_OK;
    pthread_mutex_lock(&m->lock);
    if (m->weights == TN_UNCHECKED && !tn_pool_acquire(pool)) {
        status = tn_fail(err, TERN_ERR_INPUT, "the pool is busy with another session's step");
    } else if (m->weights == TN_UNCHECKED) {
        status = check_weights(m, pool, err);
        tn_pool_release(pool);
    }
    if (m->weights == TN_DAMAGED) {
        tn_blob_chunk_error(&m->blob, m->damaged_chunk, err);
        status = tn_fail_in(err, TERN_ERR_INPUT, "%s", m->name);
    }
    pthread_mutex_unlock(&m->lock);
    return status;
}

/* Open and close */

static const TnField kernels_fields[] = {TN_FIELD(TernKernels, user), TN_FIELD(TernKernels, scratch),
                                         TN_FIELD(TernKernels, run), TN_FIELD(TernKernels, destroy),
                                         TN_FIELD(TernKernels, watch)};
static const TnShape kernels_shape = TN_SHAPE(TernKernels, kernels_fields);
static const TnField model_fields[] = {
    TN_FIELD(TernModelOptions, cpu),     TN_FIELD(TernModelOptions, no_check),
    TN_FIELD(TernModelOptions, huge),    TN_FIELD(TernModelOptions, kernels),
    TN_FIELD(TernModelOptions, release), TN_FIELD(TernModelOptions, release_user)};
static const TnShape model_shape = TN_SHAPE(TernModelOptions, model_fields);

static TernStatus copy_options(const TernModelOptions *options, TernModelOptions *o, TernModel *m,
                               TernError *err) {
    TN_TRY(tn_options_take(&model_shape, options, o, err));
    m->check_weights = !o->no_check;
    m->huge = m->move_weights = o->huge;
    m->coded = true;
    if (!o->kernels) return TERN_OK;
    TN_TRY(tn_options_take(&kernels_shape, o->kernels, &m->kernels, err));
    if (!m->kernels.run || !m->kernels.scratch)
        return tn_fail(err, TERN_ERR_INPUT, "TernKernels.%s is NULL, expected a function",
                       m->kernels.run ? "scratch" : "run");
    m->evaluated = true;
    m->coded = m->kernels.watch != NULL;
    return TERN_OK;
}

static TernStatus open_bytes(TernModel *m, const void *bytes, size_t size, const char *cpu, TernError *err) {
    TN_TRY(tn_blob_open(bytes, size, &m->blob, err));
    TN_TRY(tn_meta_read(&m->blob, &m->arena, &m->meta, err));
    TN_TRY(tn_variants_read(&m->blob, &m->meta, &m->arena, &m->variants, &m->n_variants, err));
    TN_TRY(choose_level(m, cpu, err));
    if (m->coded) TN_TRY(map_code(m, err));
    find_used_chunks(m);
    return TERN_OK;
}

static void destroy(TernModel *m) {
    for (uint32_t i = 0; i < m->n_images; i++) tn_os_unmap(m->images[i].memory, m->images[i].bytes);
    tn_os_unmap(m->moved, m->moved_bytes);
    tn_file_unmap(&m->file);
    tn_arena_free(&m->arena);
    pthread_mutex_destroy(&m->lock);
    free(m->name);
    free(m);
}

static TernModel *create(const char *name) {
    TernModel *m = tn_xcalloc(1, sizeof *m);
    size_t n = strlen(name) + 1;
    m->name = tn_xcalloc(1, n);
    memcpy(m->name, name, n);
    pthread_mutex_init(&m->lock, NULL);
    return m;
}

TernStatus tern_model_open(const char *path, const TernModelOptions *options, TernModel **out,
                           TernError *err) {
    TernModelOptions o = {0};
    tn_error_clear(err);
    TN_NEED(path, err);
    TN_NEED(out, err);
    TernModel *m = create(path);
    TernStatus s = copy_options(options, &o, m, err);
    if (s == TERN_OK) s = tn_file_map(path, &m->file, err);
    if (s == TERN_OK) {
        s = open_bytes(m, m->file.data, m->file.size, o.cpu, err);
        if (s != TERN_OK) tn_fail_in(err, s, "%s", path);
    }
    if (s != TERN_OK) {
        destroy(m);
        return s;
    }
    *out = m;
    return TERN_OK;
}

TernStatus tern_model_open_memory(const void *bytes, size_t size, const TernModelOptions *options,
                                  TernModel **out, TernError *err) {
    TernModelOptions o = {0};
    tn_error_clear(err);
    TN_NEED(bytes, err);
    TN_NEED(out, err);
    TernModel *m = create("model in memory");
    TernStatus s = copy_options(options, &o, m, err);
    if (s == TERN_OK && (uintptr_t)bytes % 64 != 0)
        s = tn_fail(err, TERN_ERR_INPUT, "model in memory: its address is not a multiple of 64");
    if (s == TERN_OK) s = open_bytes(m, bytes, size, o.cpu, err);
    if (s != TERN_OK) {
        destroy(m);
        return s;
    }
    m->move_weights = false; /* where it lies is the caller's affair */
    m->release = o.release;
    m->release_user = o.release_user;
    *out = m;
    return TERN_OK;
}

void tern_model_close(TernModel *m) {
    if (!m) return;
    if (m->evaluated && m->kernels.destroy) m->kernels.destroy(m->kernels.user);
    if (m->release) m->release(m->release_user, m->blob.data, m->blob.size);
    destroy(m);
}

/* What is in it */

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
        .level = m->coded ? tn_level_name(m->level) : "ref",
        .n_vocab = f->n_vocab,
        .n_context = f->n_context,
        .n_layers = f->n_layers,
        .n_hidden = f->n_hidden,
        .n_ffn = f->n_ffn,
        .n_heads = f->n_heads,
        .n_kv_heads = f->n_kv_heads,
        .head_dim = f->head_dim,
        .n_params = f->n_params,
        .file_bytes = m->blob.size,
    };
    for (uint32_t i = 0; i < m->n_variants; i++) {
        const TnVariant *v = &m->variants[i];
        if (v->prog.level != m->level) continue;
        if (v->prog.rows_hi > out->max_rows) out->max_rows = v->prog.rows_hi;
        if (v->plan.weight_bytes > out->weight_bytes) out->weight_bytes = v->plan.weight_bytes;
    }
}

uint64_t tern_model_huge_bytes(const TernModel *m) {
    const TnBlobSection *wght = tn_blob_section(&m->blob, TN_SECTION_WGHT, 0);
    return tn_os_huge_bytes(tn_model_weights(m), (size_t)wght->size);
}

const void *tern_model_vocab(const TernModel *m, size_t *out_size) {
    *out_size = m->meta.vocab_bytes;
    return m->meta.vocab;
}

_Static_assert((int)TERN_SECTION_TIR == (int)TN_SECTION_TIR, "tern.h names a section by its number");
const void *tern_model_section(const TernModel *m, uint32_t kind, uint32_t index, size_t *out_size) {
    const TnBlobSection *s = tn_blob_section(&m->blob, kind, index);
    *out_size = s ? s->size : 0;
    return s ? tn_blob_bytes(&m->blob, s) : NULL;
}
