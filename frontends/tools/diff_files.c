/* ternc_diff: compares graphs, weights and metadata of two files. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/api/call_options.h"
#include "frontends/tools/diff_graphs.h"
#include "frontends/tools/graphs.h"
#include "runtime/base/escape.h"
#include "runtime/base/reader.h"

typedef struct Diff {
    const TerncDiff *o;
    TnGraphs a, b;
    TnBuf out;
    uint32_t other; /* differences outside the graphs: keys, sections */
    bool differ;
} Diff;

/* ---- how two tensors differ */

typedef struct Stats {
    uint64_t n, zeros;
    double squares, largest;
} Stats;

static void count(Stats *s, const float *v, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        double x = fabs((double)v[i]);
        s->n++;
        s->zeros += v[i] == 0;
        s->squares += x * x;
        if (x > s->largest) s->largest = x;
    }
}

typedef struct Tensor {
    TnType type;
    const void *data;
    bool raw; /* laid out as in the file; else as in type_layout.h */
} Tensor;

/* Reads the values of a row; for ternary tensors the trits, since their scale is reported separately. */
static void read_row(const Tensor *t, int64_t row, float *out, int8_t *trits) {
    if (!tn_enc_is_ternary(t->type.enc)) {
        (t->raw ? tn_decode_raw : tn_decode_row)(&t->type, t->data, row, out);
        return;
    }
    tn_decode_trits(&t->type, t->data, row, trits);
    for (int64_t i = 0; i < tn_weight_len(&t->type); i++) out[i] = trits[i];
}

static void put_stats(const Tensor *a, const Tensor *b, TnBuf *out) {
    int64_t rows = tn_weight_count(&a->type), len = tn_weight_len(&a->type);
    if (rows != tn_weight_count(&b->type) || len != tn_weight_len(&b->type)) return;
    float *x = tn_xcalloc((size_t)len, sizeof *x), *y = tn_xcalloc((size_t)len, sizeof *y);
    int8_t *trits = tn_xcalloc((size_t)len + 1024, 1);
    Stats s = {0}, t = {0};
    uint64_t differ = 0;
    for (int64_t row = 0; row < rows; row++) {
        read_row(a, row, x, trits);
        read_row(b, row, y, trits);
        count(&s, x, len);
        count(&t, y, len);
        for (int64_t i = 0; i < len; i++) differ += x[i] != y[i];
    }
    free(x);
    free(y);
    free(trits);
    if (!s.n) return;
    double n = (double)s.n;
    tn_buf_printf(out, ", %.4g %% of values differ, zeros %.2f %% -> %.2f %%", 100 * (double)differ / n,
                  100 * (double)s.zeros / n, 100 * (double)t.zeros / n);
    if (!tn_enc_is_ternary(a->type.enc))
        tn_buf_printf(out, ", rms %.4g -> %.4g, largest %.4g -> %.4g", sqrt(s.squares / n),
                      sqrt(t.squares / n), s.largest, t.largest);
}

static bool tensor_of(const TnGraphs *s, const TnNode *n, Tensor *out) {
    if (s->kind != TN_GRAPHS_GGUF) return false;
    const TnGgufTensor *t = tn_gguf_tensor(s->gguf, tn_attr_str(n, TN_ATTR_name));
    if (!t) return false;
    *out = (Tensor){n->type, t->data, true};
    return true;
}

static void on_weights(void *user, const TnNode *p, const TnNode *q, TnBuf *out) {
    Diff *d = user;
    Tensor a, b;
    if (tensor_of(&d->a, p, &a) && tensor_of(&d->b, q, &b)) put_stats(&a, &b, out);
}

/* ---- packed weights of two blobs */

typedef struct Packed {
    const uint8_t *dir, *bytes;
    size_t dir_n, bytes_n;
    uint32_t n;
    TnMap by_name;
} Packed;

static bool packed_at(const Packed *p, uint32_t i, TnBlobWeight *w) {
    size_t at = sizeof(TnBlobWdir) + (size_t)i * sizeof *w;
    if (!tn_range_ok(at, sizeof *w, p->dir_n)) return false;
    memcpy(w, p->dir + at, sizeof *w);
    return tn_range_ok(w->name.offset, w->name.size, p->dir_n) &&
           tn_range_ok(w->type.offset, w->type.size, p->dir_n) && tn_range_ok(w->offset, w->size, p->bytes_n);
}

/* A weight is identified by name and type. They are not adjacent in the file, so they are joined here. */
static const char *packed_key(const Packed *p, const TnBlobWeight *w, TnArena *arena, size_t *n) {
    *n = (size_t)w->name.size + w->type.size + 3;
    return tn_sprintf(arena, "%.*s (%.*s)", (int)w->name.size, p->dir + w->name.offset, (int)w->type.size,
                      p->dir + w->type.offset);
}

static Packed open_packed(const TernModel *m, TnArena *arena) {
    Packed p = {0};
    TnBlobWdir head;
    p.dir = tern_model_section(m, TN_SECTION_WDIR, 0, &p.dir_n);
    p.bytes = tern_model_section(m, TN_SECTION_WGHT, 0, &p.bytes_n);
    if (!p.dir || !p.bytes || p.dir_n < sizeof head) return p;
    memcpy(&head, p.dir, sizeof head);
    TnBlobWeight w;
    for (p.n = 0; p.n < head.n && packed_at(&p, p.n, &w); p.n++) {
        size_t n;
        const char *key = packed_key(&p, &w, arena, &n);
        tn_map_set(&p.by_name, key, n, p.n);
    }
    return p;
}

/* The directory does not say how many columns a group of r64 has, but each number gives a size of its own. */
static bool find_group(TnType *t, uint64_t size) {
    static const uint32_t groups[] = {64, 128, 256};
    static const int64_t no_syms[TN_SYM_COUNT];
    for (size_t i = 0; i < TN_COUNT(groups); i++) {
        t->group = groups[i];
        if (t->dim[t->rank - 1] % groups[i] == 0 && tn_type_bytes(t, no_syms) == size) return true;
    }
    return false;
}

/* Parses "p64[512,256]"; false for a type without rows of values. */
static bool parse_type(const Packed *p, const TnBlobWeight *w, TnType *out) {
    char text[64], *at;
    if (w->type.size >= sizeof text) return false;
    memcpy(text, p->dir + w->type.offset, w->type.size);
    text[w->type.size] = 0;
    *out = (TnType){.enc = TN_ENC_COUNT};
    size_t n = strcspn(text, "[");
    for (int e = 0; e < TN_ENC_COUNT; e++)
        if (strlen(tn_encs[e].name) == n && memcmp(tn_encs[e].name, text, n) == 0) out->enc = (TnEnc)e;
    if (out->enc == TN_ENC_COUNT || !text[n]) return false;
    for (at = text + n; *at == '[' || *at == ','; out->rank++) {
        if (out->rank == 3) return false;
        out->dim[out->rank] = strtoll(at + 1, &at, 10);
        if (out->dim[out->rank] <= 0) return false;
    }
    TnEncKind kind = tn_encs[out->enc].kind;
    static const int64_t no_syms[TN_SYM_COUNT];
    if (kind == TN_TERNARY_GROUPS && (out->rank != 2 || !find_group(out, w->size))) return false;
    return strcmp(at, "]") == 0 && out->rank && kind != TN_CACHE && kind != TN_Q8 && out->enc != TN_ENC_i32 &&
           out->enc != TN_ENC_i8 && tn_type_bytes(out, no_syms) <= w->size;
}

static void diff_packed(Diff *d) {
    TnArena arena = {0};
    Packed a = open_packed(d->a.model, &arena), b = open_packed(d->b.model, &arena);
    TnBlobWeight u, v;
    size_t n;
    for (uint32_t i = 0; i < a.n && packed_at(&a, i, &u); i++) {
        const char *key = packed_key(&a, &u, &arena, &n);
        uint32_t j = tn_map_get(&b.by_name, key, n);
        if (j == TN_MAP_NONE) {
            tn_buf_printf(&d->out, "- weight %s\n", tn_listed(key).s);
            d->other++;
            continue;
        }
        if (!packed_at(&b, j, &v)) continue;
        if (u.size == v.size && memcmp(a.bytes + u.offset, b.bytes + v.offset, u.size) == 0) continue;
        tn_buf_printf(&d->out, "~ weight %s differs", tn_listed(key).s);
        Tensor s = {.data = a.bytes + u.offset}, t = {.data = b.bytes + v.offset};
        if (!d->o->no_stats && parse_type(&a, &u, &s.type) && parse_type(&b, &v, &t.type))
            put_stats(&s, &t, &d->out);
        tn_buf_puts(&d->out, "\n");
        d->other++;
    }
    for (uint32_t j = 0; j < b.n && packed_at(&b, j, &v); j++) {
        const char *key = packed_key(&b, &v, &arena, &n);
        if (tn_map_get(&a.by_name, key, n) != TN_MAP_NONE) continue;
        tn_buf_printf(&d->out, "+ weight %s\n", tn_listed(key).s);
        d->other++;
    }
    tn_map_free(&a.by_name);
    tn_map_free(&b.by_name);
    tn_arena_free(&arena);
}

static void diff_vocab(Diff *d) {
    size_t n, m;
    const void *u = tern_model_vocab(d->a.model, &n), *v = tern_model_vocab(d->b.model, &m);
    if ((u != NULL) == (v != NULL) && (!u || (n == m && memcmp(u, v, n) == 0))) return;
    tn_buf_printf(&d->out, "~ vocabulary differs (%zu and %zu bytes)\n", u ? n : 0, v ? m : 0);
    d->other++;
}

/* ---- keys of two model files */

static void put_key(const TnGgufKey *k, TnBuf *out) {
    if (k->type == TN_GGUF_ARRAY) {
        tn_buf_printf(out, "[%llu %s]", (unsigned long long)k->n, tn_gguf_type_name(k->elem));
    } else if (k->type == TN_GGUF_STRING) {
        tn_buf_puts(out, "\"");
        tn_put_shown(k->data, k->n, 40, out);
        tn_buf_puts(out, "\"");
    } else if (k->type == TN_GGUF_F32) {
        float f;
        memcpy(&f, k->data, 4);
        tn_buf_printf(out, "%.9g", (double)f);
    } else if (k->type == TN_GGUF_F64) {
        double f;
        memcpy(&f, k->data, 8);
        tn_buf_printf(out, "%.17g", f);
    } else {
        uint64_t v = 0;
        size_t n = tn_gguf_type_bytes(k->type);
        memcpy(&v, k->data, n);
        bool is_signed = k->type == TN_GGUF_I8 || k->type == TN_GGUF_I16 || k->type == TN_GGUF_I32;
        if (is_signed && n < 8 && v >> (8 * n - 1) & 1) v |= ~(uint64_t)0 << 8 * n;
        tn_buf_printf(out, "%lld", (long long)v);
    }
}

/* Number of bytes of a key's value; in an array of strings each has its length. */
static size_t key_bytes(const TnGgufKey *k) {
    if (k->type == TN_GGUF_STRING) return k->n;
    if (k->type != TN_GGUF_ARRAY) return tn_gguf_type_bytes(k->type);
    if (k->elem != TN_GGUF_STRING) return k->n * tn_gguf_type_bytes(k->elem);
    size_t at = 0;
    for (uint64_t i = 0; i < k->n; i++) {
        uint64_t n;
        memcpy(&n, k->data + at, 8);
        at += 8 + n;
    }
    return at;
}

static bool keys_equal(const TnGgufKey *u, const TnGgufKey *v) {
    size_t n = key_bytes(u);
    return u->type == v->type && u->n == v->n && (u->type != TN_GGUF_ARRAY || u->elem == v->elem) &&
           n == key_bytes(v) && (n == 0 || memcmp(u->data, v->data, n) == 0);
}

static void diff_keys(Diff *d) {
    const TnGguf *a = d->a.gguf, *b = d->b.gguf;
    for (size_t i = 0; i < a->n_keys; i++) {
        const TnGgufKey *u = &a->keys[i], *v = tn_gguf_key(b, u->name);
        if (v && keys_equal(u, v)) continue;
        tn_buf_printf(&d->out, "%c key %s ", v ? '~' : '-', tn_listed(u->name).s);
        put_key(u, &d->out);
        if (v) {
            tn_buf_puts(&d->out, " -> ");
            put_key(v, &d->out);
        }
        tn_buf_puts(&d->out, "\n");
        d->other++;
    }
    for (size_t i = 0; i < b->n_keys; i++) {
        if (tn_gguf_key(a, b->keys[i].name)) continue;
        tn_buf_printf(&d->out, "+ key %s ", tn_listed(b->keys[i].name).s);
        put_key(&b->keys[i], &d->out);
        tn_buf_puts(&d->out, "\n");
        d->other++;
    }
}

/* ---- graphs */

static bool same_variant(const TnGraph *a, const TnGraph *b) {
    return strcmp(a->level ? a->level : "", b->level ? b->level : "") == 0 && a->kv == b->kv &&
           a->rows_lo == b->rows_lo && a->rows_hi == b->rows_hi;
}

static void put_variant(const TnGraph *g, TnBuf *out) {
    tn_buf_printf(out, "graph @%s", g->name);
    if (g->level || g->kv || g->rows_lo)
        tn_buf_printf(out, ", variant %s, kv %s, rows %lld..%lld", g->level ? g->level : "?",
                      tn_kv_names[g->kv], (long long)g->rows_lo, (long long)g->rows_hi);
}

static TnDiff diff_pair(Diff *d, const TnGraph *a, const TnGraph *b) {
    TnDiff r;
    TnDiffOptions o = {.user = d, .names = d->o->names, .weights = d->o->no_stats ? NULL : on_weights};
    tn_diff(a, b, &o, &r);
    d->differ |= tn_diff_any(&r);
    return r;
}

enum { BY_BOTH, BY_NAME, BY_VARIANT, BY_PLACE, WAYS };

/* Finds the partner of each graph of a, or TN_NONE: by name and variant, then by name, then by variant (which
 * is all that identifies graphs of a compiled file), then by position. with[j]: whether graph j of b is
 * taken. */
static void pair_graphs(const Diff *d, uint32_t *of, bool *with) {
    bool blobs = d->a.kind == TN_GRAPHS_BLOB || d->b.kind == TN_GRAPHS_BLOB;
    for (uint32_t i = 0; i < d->a.n; i++) of[i] = TN_NONE;
    for (int way = 0; way < WAYS; way++)
        for (uint32_t i = 0; i < d->a.n; i++)
            for (uint32_t j = 0; j < d->b.n && of[i] == TN_NONE; j++) {
                const TnGraph *a = d->a.g[i], *b = d->b.g[j];
                bool name = strcmp(a->name, b->name) == 0, variant = same_variant(a, b);
                bool fits[WAYS] = {name && variant, name && !blobs, variant && (blobs || a->level),
                                   i == j && !blobs};
                if (with[j] || !fits[way]) continue;
                of[i] = j;
                with[j] = true;
            }
}

static void tell_alone(Diff *d, char mark, const TnGraph *g) {
    tn_buf_printf(&d->out, "%c ", mark);
    put_variant(g, &d->out);
    tn_buf_puts(&d->out, "\n");
    d->other++;
}

/* Graphs that differ in the same way are reported once. */
static void diff_variants(Diff *d) {
    TnBuf last = {0};
    uint32_t *of = tn_xcalloc(d->a.n + 1u, sizeof *of);
    bool *with = tn_xcalloc(d->b.n + 1u, sizeof *with);
    pair_graphs(d, of, with);
    for (uint32_t i = 0; i < d->a.n; i++) {
        const TnGraph *a = d->a.g[i];
        if (of[i] == TN_NONE) {
            tell_alone(d, '-', a);
            continue;
        }
        TnDiff r = diff_pair(d, a, d->b.g[of[i]]);
        tn_diff_summary(&r, &r.text);
        put_variant(a, &d->out);
        if (last.data && last.len == r.text.len && memcmp(last.data, r.text.data, last.len) == 0)
            tn_buf_puts(&d->out, ": as above\n");
        else
            tn_buf_printf(&d->out, ":%s%s", strchr(r.text.data, '\n')[1] ? "\n" : " ", r.text.data);
        tn_buf_free(&last);
        last = r.text;
    }
    for (uint32_t j = 0; j < d->b.n; j++)
        if (!with[j]) tell_alone(d, '+', d->b.g[j]);
    tn_buf_free(&last);
    free(of);
    free(with);
}

/* Lists the dimensions of the weights in base 3 of all graphs, each at least once. */
static TnDims *base3_dims(const TnGraphs *s, uint32_t *n) {
    TnDims *out = NULL;
    size_t count = 0, cap = 0;
    for (uint32_t i = 0; i < s->n; i++)
        for (TnRef r = 0; r < s->g[i]->n; r++) {
            const TnType *t = &s->g[i]->nodes[r].type;
            if (t->enc == TN_ENC_b80) TN_PUSH(out, count, cap, (TnDims){t->dim[0], t->dim[1]});
        }
    *n = (uint32_t)count;
    return out;
}

/* Whether gate and up are read whole in some graph: as b64, though a relu makes zeros of what gate shuts. */
static bool reads_whole(const TnGraphs *s) {
    for (uint32_t i = 0; i < s->n; i++)
        for (uint32_t j = 0; j < s->g[i]->n_kernels; j++) {
            const TnGraph *g = s->g[i];
            const TnKernel *k = &g->kernels[j];
            if (k->root == TN_NONE || g->nodes[k->root].op != TN_OP_tmatmul) continue;
            if (g->nodes[g->nodes[k->root].args[1]].type.enc == TN_ENC_b64 && tn_may_leave_out(g, k))
                return true;
        }
    return false;
}

/* Lowers a model's only graph to the variants that the other file holds, with the distances of any family of processors,
 * and with weights packed as that file has them. */
static TernStatus lower_like(TnGraphs *s, const TnGraphs *like, TernError *err) {
    TnGraph **all = tn_xcalloc(like->n, sizeof *all);
    TernStatus st = TERN_OK;
    uint32_t n = 0, n_levels = 0;
    const char **levels = tn_xcalloc(like->n, sizeof *levels);
    TnWeights weights = tn_gguf_weights(s->gguf);
    TnPassCtx ctx = {.head = TN_ENC_COUNT, .weights = &weights};
    for (uint32_t i = 0; i < like->n; i++)
        if (like->g[i]->level) levels[n_levels++] = like->g[i]->level;
    tn_levels_suit(&ctx, levels, n_levels);
    ctx.whole = reads_whole(like);
    TnDims *dims = base3_dims(like, &ctx.n_base3_dims);
    ctx.base3 = ctx.n_base3_dims > 0;
    ctx.base3_dims = dims;
    free(levels);
    for (; n < like->n && st == TERN_OK; n++) {
        const TnGraph *l = like->g[n];
        all[n] = tn_graph_clone(s->g[0]);
        ctx.level = l->level;
        ctx.kv = l->kv;
        ctx.rows_lo = l->rows_lo;
        ctx.rows_hi = l->rows_hi;
        if (l->level && l->kv && l->rows_lo) st = tn_graph_lower(all[n], l->stage, &ctx, err);
    }
    free(dims);
    tn_graph_destroy(s->g[0]);
    free(s->g);
    s->g = all;
    s->n = n;
    return st;
}

static TernStatus compare(Diff *d, TernError *err) {
    bool a_model = d->a.kind == TN_GRAPHS_GGUF, b_model = d->b.kind == TN_GRAPHS_GGUF;
    if (a_model && d->b.g[0]->stage != TN_STAGE_MODEL) TN_TRY(lower_like(&d->a, &d->b, err));
    if (b_model && d->a.g[0]->stage != TN_STAGE_MODEL) TN_TRY(lower_like(&d->b, &d->a, err));
    if (a_model && b_model) diff_keys(d);
    if (d->a.kind == TN_GRAPHS_BLOB && d->b.kind == TN_GRAPHS_BLOB) {
        diff_vocab(d);
        diff_packed(d);
    }
    if (d->a.n == 1 && d->b.n == 1) {
        TnDiff r = diff_pair(d, d->a.g[0], d->b.g[0]);
        tn_diff_summary(&r, &r.text);
        tn_buf_put(&d->out, r.text.data, r.text.len);
        tn_buf_free(&r.text);
    } else {
        diff_variants(d);
    }
    if (d->other)
        tn_buf_printf(&d->out, "%u difference%s outside the graphs\n", d->other, d->other == 1 ? "" : "s");
    d->differ |= d->other > 0;
    return TERN_OK;
}

TernStatus ternc_diff(const TerncDiff *given, TerncTextFn *text, void *user, int *same, TernError *err) {
    TerncDiff taken, *diff = &taken;
    TN_TRY(tn_diff_take(given, diff, err));
    TN_NEED(text, err);
    TN_NEED(same, err);
    Diff d = {.o = diff};
    TN_TRY(tn_graphs_open(diff->a, NULL, text, user, &d.a, err));
    TernStatus st = tn_graphs_open(diff->b, NULL, text, user, &d.b, err);
    if (st == TERN_OK) {
        st = compare(&d, err);
        tn_graphs_close(&d.b);
    }
    tn_graphs_close(&d.a);
    if (st == TERN_OK) {
        text(user, "result", d.out.data, d.out.len);
        *same = !d.differ;
    }
    tn_buf_free(&d.out);
    return st;
}
