/* ternc_inspect: lists what is in a model file or a blob, as tables. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/api/call_options.h"
#include "frontends/api/source.h"
#include "runtime/base/escape.h"
#include "runtime/base/filekind.h"
#include "runtime/base/reader.h"

#define MIB(bytes) ((double)(bytes) / (1 << 20))

/* ---- GGUF */

static void print_scalar(TnBuf *b, TnGgufType type, const uint8_t *p) {
    uint64_t u = 0;
    int64_t s;
    double d;
    float f;
    size_t n = tn_gguf_type_bytes(type);
    memcpy(&u, p, n);
    switch (type) {
    case TN_GGUF_I8:
        tn_buf_printf(b, "%d", (int8_t)u);
        break;
    case TN_GGUF_I16:
        tn_buf_printf(b, "%d", (int16_t)u);
        break;
    case TN_GGUF_I32:
        tn_buf_printf(b, "%d", (int32_t)u);
        break;
    case TN_GGUF_I64:
        memcpy(&s, p, 8);
        tn_buf_printf(b, "%lld", (long long)s);
        break;
    case TN_GGUF_F32:
        memcpy(&f, p, 4);
        tn_buf_printf(b, "%g", (double)f);
        break;
    case TN_GGUF_F64:
        memcpy(&d, p, 8);
        tn_buf_printf(b, "%g", d);
        break;
    case TN_GGUF_BOOL:
        tn_buf_puts(b, u ? "true" : "false");
        break;
    default:
        tn_buf_printf(b, "%llu", (unsigned long long)u);
        break;
    }
}

/* Prints bytes from a file, at most `max` of them. */
static void print_text(TnBuf *b, const uint8_t *p, uint64_t n, uint64_t max) {
    tn_buf_puts(b, "\"");
    tn_put_shown(p, n, max, b);
    tn_buf_puts(b, "\"");
}

static void print_key(TnBuf *b, const TnGgufKey *k) {
    tn_buf_printf(b, "  %-44s ", tn_listed(k->name).s);
    if (k->type == TN_GGUF_STRING) {
        print_text(b, k->data, k->n, 60);
    } else if (k->type != TN_GGUF_ARRAY) {
        print_scalar(b, k->type, k->data);
    } else {
        tn_buf_printf(b, "[%llu %s]", (unsigned long long)k->n, tn_gguf_type_name(k->elem));
        const uint8_t *p = k->data;
        for (uint64_t i = 0; i < k->n && i < 6; i++) {
            tn_buf_puts(b, " ");
            if (k->elem == TN_GGUF_STRING) {
                uint64_t n;
                memcpy(&n, p, 8);
                print_text(b, p + 8, n, 12);
                p += 8 + n;
            } else {
                print_scalar(b, k->elem, p);
                p += tn_gguf_type_bytes(k->elem);
            }
        }
        if (k->n > 6) tn_buf_puts(b, " ...");
    }
    tn_buf_puts(b, "\n");
}

static TernStatus inspect_gguf(const char *path, TnBuf *b, TernError *err) {
    TerncSource source = {.size = sizeof source, .path = path};
    TnGguf *g;
    TN_TRY(tn_source_open(&source, false, &g, err));
    tn_buf_printf(b, "%s: GGUF, %.1f MiB, %zu keys, %zu tensors\n\nmetadata\n", tn_listed(g->path).s,
                  MIB(g->n_tensors ? g->file.size : 0), g->n_keys, g->n_tensors);
    for (size_t i = 0; i < g->n_keys; i++) print_key(b, &g->keys[i]);
    tn_buf_printf(b, "\ntensors\n  %-40s %-6s %20s %12s %14s\n", "name", "type", "shape (rows x cols)",
                  "bytes", "offset");
    uint64_t total = 0, by_enc[TN_ENC_COUNT] = {0};
    for (size_t i = 0; i < g->n_tensors; i++) {
        const TnGgufTensor *t = &g->tensors[i];
        char shape[64];
        if (t->rank == 1)
            snprintf(shape, sizeof shape, "%llu", (unsigned long long)t->ne[0]);
        else
            snprintf(shape, sizeof shape, "%llu x %llu", (unsigned long long)(t->ne[1] * t->ne[2] * t->ne[3]),
                     (unsigned long long)t->ne[0]);
        tn_buf_printf(b, "  %-40s %-6s %20s %12zu %14llu\n", tn_listed(t->name).s, tn_encs[t->enc].name,
                      shape, t->bytes, (unsigned long long)t->offset);
        total += t->bytes;
        by_enc[t->enc] += t->bytes;
    }
    tn_buf_printf(b, "\nbytes by type\n");
    for (int e = 0; e < TN_ENC_COUNT; e++)
        if (by_enc[e]) tn_buf_printf(b, "  %-6s %12.1f MiB\n", tn_encs[e].name, MIB(by_enc[e]));
    tn_buf_printf(b, "  %-6s %12.1f MiB\n", "all", MIB(total));
    TnGraph *graph;
    TnFacts f;
    TernError why = {0};
    if (tn_gguf_graph(g, &(TnGgufOptions){.no_hash = true}, &graph, &f, &why) == TERN_OK) {
        tn_buf_printf(b,
                      "\nmodel\n  %s, %.2f M parameters, %u layers, hidden %u, ffn %u, %u heads (%u kv) of "
                      "%u, vocabulary %u, context %u\n",
                      tn_listed(f.arch).s, (double)f.n_params / 1e6, f.n_layers, f.n_hidden, f.n_ffn,
                      f.n_heads, f.n_kv_heads, f.head_dim, f.n_vocab, f.n_context);
        tn_graph_destroy(graph);
    } else {
        tn_buf_printf(b, "\nmodel\n  does not run: %s\n", why.text);
    }
    tn_gguf_close(g);
    return TERN_OK;
}

/* ---- blob */

static void print_sections(const TernModel *m, TnBuf *b) {
    tn_buf_printf(b, "\nsections\n  %-5s %5s %14s\n", "kind", "index", "bytes");
    const TnSectionKind *kind;
    for (size_t row = 0; (kind = tn_section_row(row)); row++) {
        size_t n;
        for (uint32_t i = 0; tern_model_section(m, kind->number, i, &n); i++)
            tn_buf_printf(b, "  %-5s %5u %14zu\n", kind->name, i, n);
    }
}

static void print_code(const TernModel *m, uint32_t kind, const char *called, TnBuf *b) {
    size_t n;
    const uint8_t *p;
    for (uint32_t i = 0; (p = tern_model_section(m, kind, i, &n)); i++) {
        TnBlobCode c;
        memcpy(&c, p, sizeof c);
        tn_buf_printf(b, "\n%s %u: %u kernels, %.1f KiB\n", called, i, c.n_exports,
                      (double)c.image_size / 1024);
        for (uint32_t k = 0; k < c.n_exports; k++) {
            TnBlobExport e;
            memcpy(&e, p + sizeof c + k * sizeof e, sizeof e);
            tn_buf_printf(b, "  %8llu  %s\n", (unsigned long long)e.entry,
                          tn_listed_n(p + e.name.offset, e.name.size).s);
        }
    }
}

static void print_variants(const TernModel *m, TnBuf *b) {
    static const char syms[] = "TRKHSPN";
    size_t n;
    const uint8_t *prog, *plan;
    tn_buf_printf(b, "\nvariants\n  %-12s %-4s %-9s %8s %8s %14s  %s\n", "level", "kv", "rows", "launches",
                  "barriers", "weights MiB", "arena bytes; scratch per worker; cache per page and layer");
    for (uint32_t i = 0; (prog = tern_model_section(m, TN_SECTION_PROG, i, &n)) &&
                         (plan = tern_model_section(m, TN_SECTION_PLAN, i, &n));
         i++) {
        TnBlobProg p;
        TnBlobPlan l;
        memcpy(&p, prog, sizeof p);
        memcpy(&l, plan, sizeof l);
        char rows[32];
        if (p.rows_lo == p.rows_hi)
            snprintf(rows, sizeof rows, "%u", p.rows_lo);
        else
            snprintf(rows, sizeof rows, "%u..%u", p.rows_lo, p.rows_hi);
        tn_buf_printf(b, "  %-12s %-4s %-9s %8u %8u %14.1f  %llu", tn_level_name(p.level), tn_kv_names[p.kv],
                      rows, p.n_launches, l.n_barriers, MIB(l.weight_bytes),
                      (unsigned long long)l.arena_const);
        for (int s = 0; s < 7; s++)
            if (l.arena[s]) tn_buf_printf(b, " + %llu %c", (unsigned long long)l.arena[s], syms[s]);
        tn_buf_printf(b, "; %llu", (unsigned long long)l.scratch);
        if (l.scratch_page) tn_buf_printf(b, " + %llu P", (unsigned long long)l.scratch_page);
        tn_buf_printf(b, "; %llu\n", (unsigned long long)(l.key_page + l.value_page));
    }
}

/* The text at a range of a section; empty if the range is not inside it (opening checks hashes, not the
 * contents of WDIR). */
static const char *range_text(const uint8_t *section, size_t n, TnBlobRange r, int *out_len) {
    bool in = tn_range_ok(r.offset, r.size, n);
    *out_len = in ? (int)r.size : 0;
    return in ? (const char *)section + r.offset : "";
}

static void print_weights(const TernModel *m, TnBuf *b) {
    size_t n;
    const uint8_t *p = tern_model_section(m, TN_SECTION_WDIR, 0, &n);
    if (!p) return;
    TnReader r = tn_reader(p, n);
    const void *head = tn_read(&r, sizeof(TnBlobWdir));
    TnBlobWdir d = {0};
    if (head) memcpy(&d, head, sizeof d);
    tn_buf_printf(b, "\nweights\n  %14s %12s  %-24s %s\n", "offset", "bytes", "type", "name");
    for (uint32_t i = 0; i < d.n; i++) {
        const void *row = tn_read(&r, sizeof(TnBlobWeight));
        if (!row) return;
        TnBlobWeight w;
        int type_len, name_len;
        memcpy(&w, row, sizeof w);
        const char *type = range_text(p, n, w.type, &type_len), *name = range_text(p, n, w.name, &name_len);
        tn_buf_printf(b, "  %14llu %12llu  %-24s %s\n", (unsigned long long)w.offset,
                      (unsigned long long)w.size, tn_listed_n(type, (size_t)type_len).s,
                      tn_listed_n(name, (size_t)name_len).s);
    }
}

/* Prints the memory plan of the first variant; the others differ only in rows. */
static TernStatus print_plan(const TernModel *m, TnBuf *b, TernError *err) {
    size_t n;
    const char *tir = tern_model_section(m, TN_SECTION_TIR, 0, &n);
    if (!tir) return TERN_OK;
    TnDiag d = {0};
    TnGraph **gs;
    uint32_t n_graphs;
    if (tn_parse(tir, n, "section TIR", &gs, &n_graphs, &d) != TERN_OK) {
        TernStatus st = tn_fail(err, TERN_ERR_INPUT, "section TIR: %u faults", d.n);
        tn_diag_free(&d);
        return st;
    }
    tn_buf_printf(b, "\nplan of level %s, kv %s, rows %lld..%lld\n", gs[0]->level, tn_kv_names[gs[0]->kv],
                  (long long)gs[0]->rows_lo, (long long)gs[0]->rows_hi);
    tn_plan_table(gs[0], b);
    for (uint32_t i = 0; i < n_graphs; i++) tn_graph_destroy(gs[i]);
    free(gs);
    return TERN_OK;
}

static TernStatus inspect_blob(const char *path, TnBuf *b, TernError *err) {
    TernModel *m;
    TN_TRY(tn_open_for_reading(path, &m, err));
    TernModelInfo f;
    tern_model_info(m, &f);
    tn_buf_printf(b,
                  "%s: Tern blob, %.1f MiB\n\nmodel\n  %s (%s), %s, %.2f M parameters, %u layers, hidden %u, "
                  "ffn %u, %u heads (%u kv) of %u, "
                  "vocabulary %u, context %u\n",
                  tn_listed(path).s, MIB(f.file_bytes), tn_listed(f.name).s, tn_listed(f.arch).s,
                  tn_listed(f.desc).s, (double)f.n_params / 1e6, f.n_layers, f.n_hidden, f.n_ffn, f.n_heads,
                  f.n_kv_heads, f.head_dim, f.n_vocab, f.n_context);
    print_sections(m, b);
    print_variants(m, b);
    print_code(m, TN_SECTION_CODE, "code", b);
    print_code(m, TN_SECTION_PTXT, "text", b);
    print_weights(m, b);
    TernStatus st = print_plan(m, b, err);
    tern_model_close(m);
    return st;
}

TernStatus ternc_inspect(const char *path, TerncTextFn *text, void *user, TernError *err) {
    TnFile f;
    TnBuf b = {0};
    bool blob = false;
    tn_error_clear(err);
    TN_NEED(text, err);
    if (path && !tn_os_is_folder(path)) {
        TN_TRY(tn_file_map(path, &f, err));
        blob = tn_file_kind(f.data, f.size).kind == TN_KIND_TERN;
        tn_file_unmap(&f);
    }
    TernStatus st = blob ? inspect_blob(path, &b, err) : inspect_gguf(path, &b, err);
    if (st == TERN_OK) text(user, "result", b.data, b.len);
    tn_buf_free(&b);
    return st;
}
