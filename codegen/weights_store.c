/* WGHT: which weights a blob holds, and how their bytes are made.
 *
 * The bytes are made chunk by chunk, in the chunks that are hashed, each by whichever thread is free. A chunk's bytes
 * depend only on its place, so they are the same for any number of threads. Rows that straddle two chunks are made
 * twice. Only one chunk a thread is in memory at a time, and for weights by columns a block of 256 rows. */
#include "codegen/internal.h"
#include "codegen/helpers.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "ir/print.h"
#include "runtime/base/arena.h"
#include "runtime/base/reader.h"

/* Appends the key of an expression. The attributes of SOURCE ops are names, hashes and seeds; all of them count. */
static void put_key(const TnGraph *g, TnRef ref, TnBuf *out) {
    const TnNode *node = &g->nodes[ref];
    tn_buf_printf(out, "%s(", tn_ops[node->op].name);
    for (uint32_t i = 0; i < node->n_args; i++) {
        if (i) tn_buf_puts(out, ",");
        put_key(g, node->args[i], out);
    }
    for (uint32_t i = 0; i < node->n_attrs; i++) {
        if (node->attrs[i].key == TN_ATTR_off) continue;
        tn_buf_puts(out, " ");
        tn_print_attr(&node->attrs[i], out);
    }
    tn_buf_puts(out, "):");
    tn_print_type(&node->type, out);
}

/* Appends the names of the tensors, for people. The type shows how they are packed. */
static void put_title(const TnGraph *g, TnRef ref, TnBuf *out) {
    const TnNode *node = &g->nodes[ref];
    if (node->op == TN_OP_pack || node->op == TN_OP_keep_rows || node->op == TN_OP_keep_cols) {
        put_title(g, node->args[0], out);
        return;
    }
    if (node->op == TN_OP_gguf) {
        tn_buf_puts(out, tn_attr_str(node, TN_ATTR_name));
        return;
    }
    tn_buf_printf(out, "%s(", tn_ops[node->op].name);
    for (uint32_t i = 0; i < node->n_args; i++) {
        if (i) tn_buf_puts(out, ",");
        put_title(g, node->args[i], out);
    }
    if (node->op == TN_OP_random) tn_buf_printf(out, "%lld", (long long)tn_attr_int(node, TN_ATTR_seed));
    tn_buf_puts(out, ")");
}

uint32_t tn_store_add(TnWeightStore *s, const TnGraph *g, TnRef ref) {
    TnBuf key = {0};
    put_key(g, ref, &key);
    uint32_t at = tn_map_get(&s->by_key, key.data, key.len);
    if (at != TN_MAP_NONE) {
        tn_buf_free(&key);
        return at;
    }
    at = (uint32_t)s->n;
    uint64_t size = tn_type_bytes(&g->nodes[ref].type, NULL);
    TN_PUSH(s->w, s->n, s->cap, (TnStoredWeight){g, ref, key.data, s->bytes, size});
    tn_map_set(&s->by_key, key.data, key.len, at);
    s->bytes += tn_round_up((size_t)size, 64);
    return at;
}

void tn_store_free(TnWeightStore *s) {
    for (size_t i = 0; i < s->n; i++) free(s->w[i].key);
    free(s->w);
    tn_map_free(&s->by_key);
    *s = (TnWeightStore){0};
}

void tn_store_directory(const TnWeightStore *s, TnBuf *out) {
    TnBuf names = {0};
    TnBlobWdir head = {.n = (uint32_t)s->n};
    size_t names_at = sizeof head + s->n * sizeof(TnBlobWeight);
    tn_buf_put(out, &head, sizeof head);
    for (size_t i = 0; i < s->n; i++) {
        const TnStoredWeight *w = &s->w[i];
        TnBlobWeight row = {.offset = w->offset, .size = w->size};
        row.name.offset = (uint32_t)(names_at + names.len);
        put_title(w->g, w->ref, &names);
        row.type.offset = (uint32_t)(names_at + names.len);
        row.name.size = row.type.offset - row.name.offset;
        tn_print_shape(&w->g->nodes[w->ref].type, &names);
        row.type.size = (uint32_t)(names_at + names.len) - row.type.offset;
        tn_buf_put(out, &row, sizeof row);
    }
    tn_buf_put(out, names.data, names.len);
    tn_buf_free(&names);
}

uint64_t tn_store_chunks(const TnWeightStore *s) {
    return (s->bytes + TN_BLOB_CHUNK - 1) / TN_BLOB_CHUNK;
}

/* ---- bytes of one weight */

/* Makes bytes [a, b) of a weight that is stored in the form it has in the file. */
static TernStatus fill_stored(const TnStoredWeight *w, const TnWeights *source, uint64_t a, uint64_t b,
                              uint8_t *out, TernError *err) {
    const TnNode *node = &w->g->nodes[w->ref];
    if (node->op == TN_OP_gguf) {
        const char *name = tn_attr_str(node, TN_ATTR_name);
        size_t have = 0;
        const uint8_t *raw = source && source->find ? source->find(source->ctx, name, &have) : NULL;
        if (!raw) return tn_fail(err, TERN_ERR_INPUT, "tensor %s: not in the model file", name);
        if (have < w->size)
            return tn_fail(err, TERN_ERR_INPUT, "tensor %s: %zu bytes in the model file, expected %llu", name,
                           have, (unsigned long long)w->size);
        memcpy(out, raw + a, (size_t)(b - a));
        return TERN_OK;
    }
    uint8_t *all = tn_xcalloc((size_t)w->size, 1); /* only for test data: the weights of models are tensors */
    TernStatus s = tn_weight_all(w->g, w->ref, source, all, err);
    if (s == TERN_OK) memcpy(out, all + a, (size_t)(b - a));
    free(all);
    return s;
}

/* Makes the groups [lo, hi) of rows that are stored together (tn_rows_together). */
static TernStatus fill_rows(const TnStoredWeight *w, const TnWeights *source, int64_t lo, int64_t hi,
                            uint8_t *out, TernError *err) {
    const TnType *t = &w->g->nodes[w->ref].type;
    int64_t n = tn_rows_together(t), rows = tn_type_rows(t, NULL);
    return tn_weight_rows(w->g, w->ref, source, lo * n, hi * n < rows ? hi * n : rows, out, err);
}

/* Makes the part of row `row` that is inside [a, b), through a buffer. */
static TernStatus fill_part_row(const TnStoredWeight *w, const TnWeights *source, int64_t row,
                                size_t row_bytes, uint64_t a, uint64_t b, uint8_t *out, TernError *err) {
    uint64_t start = (uint64_t)row * row_bytes, end = start + row_bytes;
    uint64_t lo = a > start ? a : start, hi = b < end ? b : end;
    uint8_t *temp = tn_xcalloc(row_bytes, 1);
    TernStatus s = fill_rows(w, source, row, row + 1, temp, err);
    if (s == TERN_OK) memcpy(out + (lo - a), temp + (lo - start), (size_t)(hi - lo));
    free(temp);
    return s;
}

/* The tail of a shadow table takes seconds to make and may have many chunks, so it is made once and kept for them. */
typedef struct Tail {
    pthread_mutex_t lock;
    const TnStoredWeight *of;
    uint8_t *bytes;
} Tail;

static TernStatus make_tail(const TnStoredWeight *w, const TnWeights *source, Tail *kept, TernError *err) {
    if (kept->of == w) return TERN_OK;
    free(kept->bytes);
    kept->of = NULL;
    kept->bytes = tn_xcalloc(tn_tail_bytes(&w->g->nodes[w->ref].type), 1);
    TN_TRY(tn_weight_tail(w->g, w->ref, source, kept->bytes, err));
    kept->of = w;
    return TERN_OK;
}

/* Makes bytes [a, b) of the tail of a weight. */
static TernStatus fill_tail(const TnStoredWeight *w, const TnWeights *source, Tail *kept, uint64_t a,
                            uint64_t b, uint8_t *out, TernError *err) {
    Tail own = {.of = NULL}, *tail = tn_encs[w->g->nodes[w->ref].type.enc].kind == TN_SHADOW ? kept : &own;
    if (tail == kept) pthread_mutex_lock(&kept->lock);
    TernStatus s = make_tail(w, source, tail, err);
    if (s == TERN_OK) memcpy(out, tail->bytes + a, (size_t)(b - a));
    if (tail == kept) pthread_mutex_unlock(&kept->lock);
    free(own.bytes);
    return s;
}

/* Makes bytes [a, b) of a weight. */
static TernStatus fill(const TnStoredWeight *w, const TnWeights *source, Tail *kept, uint64_t a, uint64_t b,
                       uint8_t *out, TernError *err) {
    const TnType *t = &w->g->nodes[w->ref].type;
    if (tn_encs[t->enc].kind == TN_STORED) return fill_stored(w, source, a, b, out, err);
    size_t row_bytes = tn_row_bytes(t) * (size_t)tn_rows_together(t); /* of a group of rows */
    uint64_t rows_end = w->size - tn_tail_bytes(t), end = b < rows_end ? b : rows_end;
    if (a < end) {
        uint64_t lo = (a + row_bytes - 1) / row_bytes, hi = end / row_bytes; /* whole rows */
        if (lo * row_bytes > a)
            TN_TRY(fill_part_row(w, source, (int64_t)lo - 1, row_bytes, a, end, out, err));
        if (lo < hi) TN_TRY(fill_rows(w, source, (int64_t)lo, (int64_t)hi, out + (lo * row_bytes - a), err));
        if (hi >= lo && hi * row_bytes < end)
            TN_TRY(fill_part_row(w, source, (int64_t)hi, row_bytes, a, end, out, err));
    }
    if (b <= rows_end) return TERN_OK;
    uint64_t lo = a > rows_end ? a : rows_end;
    return fill_tail(w, source, kept, lo - rows_end, b - rows_end, out + (lo - a), err);
}

/* ---- chunks, on threads */

typedef struct Work {
    const TnWeightStore *store;
    const TnWeights *source;
    const TnStoreSink *sink;
    const TnProgress *progress;
    TnHash128 *hashes;
    pthread_mutex_t lock;
    pthread_cond_t turn;
    uint64_t claimed, written, n_chunks;
    TernStatus status;
    TernError err;
    Tail tail;
} Work;

static TernStatus fill_chunk(Work *k, uint64_t chunk, size_t n, uint8_t *out, TernError *err) {
    uint64_t start = chunk * TN_BLOB_CHUNK, end = start + n;
    for (size_t i = 0; i < k->store->n; i++) {
        const TnStoredWeight *w = &k->store->w[i];
        uint64_t lo = w->offset > start ? w->offset : start, w_end = w->offset + w->size;
        uint64_t hi = w_end < end ? w_end : end;
        if (lo >= hi) continue;
        TN_TRY(fill(w, k->source, &k->tail, lo - w->offset, hi - w->offset, out + (lo - start), err));
    }
    return TERN_OK;
}

static size_t chunk_bytes(const Work *k, uint64_t chunk) {
    uint64_t left = k->store->bytes - chunk * TN_BLOB_CHUNK;
    return left < TN_BLOB_CHUNK ? (size_t)left : TN_BLOB_CHUNK;
}

static void stop(Work *k, TernStatus s, const TernError *err) {
    pthread_mutex_lock(&k->lock);
    if (k->status == TERN_OK) {
        k->status = s;
        k->err = *err;
    }
    pthread_cond_broadcast(&k->turn);
    pthread_mutex_unlock(&k->lock);
}

/* Writes a chunk after all earlier ones. Files are written front to back, which works for a pipe and is fast on a disk. */
static TernStatus put_in_turn(Work *k, uint64_t chunk, const uint8_t *bytes, size_t n, TernError *err) {
    pthread_mutex_lock(&k->lock);
    while (!k->sink->memory && k->written != chunk && k->status == TERN_OK)
        pthread_cond_wait(&k->turn, &k->lock);
    bool go = k->status == TERN_OK;
    pthread_mutex_unlock(&k->lock);
    if (!go) return TERN_OK; /* another thread failed and has set the error */
    if (!k->sink->memory) TN_TRY(k->sink->put(k->sink->user, bytes, n, err));
    pthread_mutex_lock(&k->lock);
    k->written++;
    pthread_cond_broadcast(&k->turn);
    pthread_mutex_unlock(&k->lock);
    return TERN_OK;
}

static bool claim(Work *k, uint64_t *out_chunk, uint64_t *out_written) {
    pthread_mutex_lock(&k->lock);
    bool some = k->status == TERN_OK && k->claimed < k->n_chunks;
    if (some) *out_chunk = k->claimed++;
    *out_written = k->written;
    pthread_mutex_unlock(&k->lock);
    return some;
}

/* The model file is mapped, and pages that were read count as memory of this process until they are released. Otherwise a
 * model compiled to memory would take its size twice. They are released every REST chunks and stay in the system's cache. */
enum { REST = 8 };

static void work(Work *k, bool reports) {
    uint8_t *buffer = k->sink->memory ? NULL : tn_xcalloc(TN_BLOB_CHUNK, 1);
    uint64_t chunk, written;
    while (claim(k, &chunk, &written)) {
        TernError err = {0};
        size_t n = chunk_bytes(k, chunk);
        uint8_t *out = buffer ? buffer : k->sink->memory + chunk * TN_BLOB_CHUNK;
        if (buffer) memset(buffer, 0, n);
        TernStatus s =
            reports ? tn_progress(k->progress, "weights", written * TN_BLOB_CHUNK, k->store->bytes, &err)
                    : TERN_OK;
        if (s == TERN_OK) s = fill_chunk(k, chunk, n, out, &err);
        if (s == TERN_OK) {
            k->hashes[chunk] = tn_hash128(out, n);
            if (k->source && k->source->rest && chunk % REST == REST - 1) k->source->rest(k->source->ctx);
            s = put_in_turn(k, chunk, out, n, &err);
        }
        if (s != TERN_OK) stop(k, s, &err);
    }
    free(buffer);
}

static void *helper(void *arg) {
    work(arg, false);
    return NULL;
}

TernStatus tn_store_write(const TnWeightStore *s, const TnWeights *source, const TnStoreSink *sink,
                          TnHash128 *hashes, const TnProgress *progress, TernError *err) {
    Work k = {.store = s,
              .source = source,
              .sink = sink,
              .progress = progress,
              .hashes = hashes,
              .n_chunks = tn_store_chunks(s)};
    pthread_mutex_init(&k.lock, NULL);
    pthread_mutex_init(&k.tail.lock, NULL);
    pthread_cond_init(&k.turn, NULL);
    TnHelpers helpers;
    tn_helpers_start(&helpers, k.n_chunks, helper, &k);
    work(&k, true);
    tn_helpers_join(&helpers);
    pthread_cond_destroy(&k.turn);
    pthread_mutex_destroy(&k.lock);
    pthread_mutex_destroy(&k.tail.lock);
    free(k.tail.bytes);
    if (k.status != TERN_OK && err) *err = k.err;
    if (k.status != TERN_OK) return k.status;
    return tn_progress(progress, "weights", s->bytes, s->bytes, err);
}
