/* ternc_inspect: lists what is in a model file or a blob, as tables. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/api/call_options.h"
#include "frontends/api/source.h"
#include "frontends/blob_list.h"
#include "runtime/base/escape.h"
#include "runtime/base/filekind.h"

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
    tn_blob_list(path, m, b);
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
