/* The import report as tables and as json. */
#include "frontends/report.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define MIB(bytes)      ((double)(bytes) / (1 << 20))
#define PERCENT(n, all) ((all) ? 100.0 * (double)(n) / (double)(all) : 0.0)

/* Contexts to show the cache at: these, as far as the model's goes, and the model's. */
static uint32_t contexts(const TnReport *r, uint32_t out[8]) {
    static const uint32_t usual[] = {512, 2048, 4096, 32768};
    uint32_t n = 0;
    for (size_t i = 0; i < TN_COUNT(usual) && usual[i] < r->facts.n_context; i++) out[n++] = usual[i];
    out[n++] = r->facts.n_context;
    return n;
}

/* Bytes of the tables at each precision. */
static const struct {
    const char *name;
    uint64_t elems, bytes; /* a block */
} table_types[] = {{"f32", 1, 4}, {"f16", 1, 2}, {"q8_0", 32, 34}, {"q6_k", 256, 210}},
  cache_types[] = {{"f32", 1, 4}, {"f16", 1, 2}, {"i8", 1, 1}};

/* int8 caches have a scale a position and head besides. */
static uint64_t cache_bytes(const TnReport *r, uint32_t context, size_t type) {
    uint64_t scales = type == 2 ? r->kv_values / r->facts.head_dim * 4 : 0;
    return context * (r->kv_values * cache_types[type].bytes + scales);
}

/* Five weights a byte: 3^5 = 243. */
static uint64_t fifths(const TnReport *r) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < r->n_matrices; i++)
        bytes += r->matrices[i].trits.rows * ((r->matrices[i].trits.cols + 4) / 5);
    return bytes;
}

/* ---- Text */

static void put_findings(const TnFindings *f, const char *title, const char *from, TnBuf *b) {
    if (!f->n) return;
    tn_buf_printf(b, "\n%s\n", title);
    for (size_t i = 0; i < f->n; i++)
        tn_buf_printf(b, "  %-18s %s\n  %-18s   %s%s\n", f->v[i].what, f->v[i].value, "", from, f->v[i].from);
}

static void put_names(const char *what, const char *const *names, size_t n, TnBuf *b) {
    tn_buf_printf(b, "  %-10s", what);
    for (size_t i = 0; i < n; i++) tn_buf_printf(b, "%s%s", i ? "\n            " : "", names[i]);
    tn_buf_puts(b, n ? "\n" : "none\n");
}

static void put_types(const TnReport *r, TnBuf *b) {
    tn_buf_puts(b, "\ntensor types\n");
    const TnGguf *g = r->gguf;
    for (size_t i = 0; i < g->n_tensors; i++) {
        uint32_t type = g->tensors[i].type, n = 0;
        for (size_t j = 0; j < g->n_tensors; j++) {
            if (g->tensors[j].type != type) continue;
            if (j < i) break; /* told already */
            n++;
        }
        const char *name = tn_gguf_tensor_type_name(type);
        if (n) tn_buf_printf(b, "  %3u %-14s %6u tensors\n", type, name ? name : "unknown", n);
    }
}

static void put_trits(const TnTrits *t, TnBuf *b) {
    uint64_t n = t->rows * t->cols;
    tn_buf_printf(b, " %7.2f %7.2f %7.2f %6llu  ", PERCENT(t->minus, n), PERCENT(t->zero, n),
                  PERCENT(t->plus, n), (unsigned long long)t->dead_rows);
    if (t->n_scales < 2)
        tn_buf_printf(b, "%.6g", (double)t->scale_lo);
    else
        tn_buf_printf(b, "%u scales, %.6g to %.6g", t->n_scales, (double)t->scale_lo, (double)t->scale_hi);
    if (t->bad) tn_buf_printf(b, "; %llu codes that mean nothing (3)", (unsigned long long)t->bad);
    tn_buf_puts(b, "\n");
}

static void put_matrices(const TnReport *r, TnBuf *b) {
    if (r->n_other)
        tn_buf_printf(b, "\ndense matrices\n  %llu of the layers, %.1f MiB, not ternary\n",
                      (unsigned long long)r->n_other, MIB(r->other_bytes));
    if (!r->n_matrices) return;
    TnTrits all = {.rows = r->n_ternary, .cols = 1};
    tn_buf_printf(b, "\nternary matrices\n  %-28s %-5s %14s %7s %7s %7s %6s  %s\n", "name", "type",
                  "rows x cols", "-1 %", "0 %", "+1 %", "dead", "scale");
    for (size_t i = 0; i < r->n_matrices; i++) {
        const TnTrits *t = &r->matrices[i].trits;
        char shape[48];
        snprintf(shape, sizeof shape, "%llu x %llu", (unsigned long long)t->rows,
                 (unsigned long long)t->cols);
        tn_buf_printf(b, "  %-28s %-5s %14s", r->matrices[i].tensor->name,
                      tn_encs[r->matrices[i].tensor->enc].name, shape);
        put_trits(t, b);
        all.minus += t->minus, all.zero += t->zero, all.plus += t->plus, all.dead_rows += t->dead_rows;
    }
    tn_buf_printf(b, "  %-28s %-5s %14llu %7.2f %7.2f %7.2f %6llu\n", "all", "",
                  (unsigned long long)r->n_ternary, PERCENT(all.minus, r->n_ternary),
                  PERCENT(all.zero, r->n_ternary), PERCENT(all.plus, r->n_ternary),
                  (unsigned long long)all.dead_rows);
}

static void put_ffn(const TnReport *r, TnBuf *b) {
    uint64_t dead = 0, neurons = 0;
    for (size_t i = 0; i < r->n_ffn; i++) dead += r->ffn[i].dead, neurons += r->ffn[i].neurons;
    if (!neurons) return;
    tn_buf_printf(b, "\ndead ffn neurons (a zero row of ffn_gate or ffn_up)\n  %llu of %llu\n",
                  (unsigned long long)dead, (unsigned long long)neurons);
    for (size_t i = 0; i < r->n_ffn; i++)
        if (r->ffn[i].dead)
            tn_buf_printf(b, "  layer %-4u %6llu of %llu: gate %llu, up %llu\n", r->ffn[i].layer,
                          (unsigned long long)r->ffn[i].dead, (unsigned long long)r->ffn[i].neurons,
                          (unsigned long long)r->ffn[i].gate, (unsigned long long)r->ffn[i].up);
}

static void put_memory(const TnReport *r, TnBuf *b) {
    uint32_t ctx[8], n = contexts(r, ctx);
    tn_buf_puts(b, "\nmemory, MiB\n");
    if (r->n_ternary)
        tn_buf_printf(b, "  %-18s %10.1f in the file %10.1f at 2 bits (p64) %10.1f at 1.6 bits\n", "ternary",
                      MIB(r->stored_bytes), MIB(r->packed_bytes), MIB(fifths(r)));
    if (r->n_other) tn_buf_printf(b, "  %-18s %10.1f in the file\n", "dense matrices", MIB(r->other_bytes));
    tn_buf_printf(b, "  %-18s %10.1f in the file", "embedding, head", MIB(r->table_bytes));
    for (size_t i = 0; i < TN_COUNT(table_types); i++) {
        uint64_t bytes = r->n_table / table_types[i].elems * table_types[i].bytes;
        tn_buf_printf(b, " %10.1f %s", MIB(bytes), table_types[i].name);
    }
    tn_buf_printf(b, "\n  %-18s %10.1f f32\n", "norms", MIB(r->n_norm * 4));
    tn_buf_printf(b, "  %-18s %10.1f\n", "all, as planned", MIB(r->planned_bytes));
    for (uint32_t i = 0; i < n; i++) {
        tn_buf_printf(b, "  cache of %-9u", ctx[i]);
        for (size_t k = 0; k < TN_COUNT(cache_types); k++)
            tn_buf_printf(b, " %10.1f %s", MIB(cache_bytes(r, ctx[i], k)), cache_types[k].name);
        tn_buf_puts(b, "\n");
    }
}

static void put_variants(const TnReport *r, TnBuf *b) {
    tn_buf_printf(b, "\nwhat would run here, level %s\n", r->level);
    for (size_t i = 0; i < r->n_variants; i++) {
        const TnReportVariant *v = &r->variants[i];
        if (v->rows_lo == v->rows_hi)
            tn_buf_printf(b, "  steps of %lld row%s\n", (long long)v->rows_lo, v->rows_lo == 1 ? "" : "s");
        else
            tn_buf_printf(b, "  steps of %lld to %lld rows\n", (long long)v->rows_lo, (long long)v->rows_hi);
        for (size_t k = 0; k < v->n; k++)
            tn_buf_printf(b, "    %5u x  %-5s by %s  %s\n", v->v[k].n, v->v[k].target, v->v[k].axis,
                          v->v[k].what);
    }
}

void tn_report_text(const TnReport *r, TnBuf *b) {
    tn_buf_printf(b, "%s: import report\n", r->gguf->path);
    put_findings(&r->producer, "producer", "from ", b);
    if (r->graph)
        tn_buf_printf(
            b,
            "\nmodel\n  %s, %.2f M parameters, %u layers, hidden %u, ffn %u, %u heads (%u kv) of %u, "
            "vocabulary %u, context %u\n",
            r->facts.arch, (double)r->facts.n_params / 1e6, r->facts.n_layers, r->facts.n_hidden,
            r->facts.n_ffn, r->facts.n_heads, r->facts.n_kv_heads, r->facts.head_dim, r->facts.n_vocab,
            r->facts.n_context);
    else
        tn_buf_printf(b, "\nmodel\n  does not run: %s\n", r->refused.text);
    put_types(r, b);
    put_findings(&r->inferred, "inferred", "from ", b);
    put_findings(&r->notes, "to know", "", b);
    if (r->graph) {
        tn_buf_puts(b, "\nignored\n");
        put_names("keys", r->ignored_keys, r->n_ignored_keys, b);
        put_names("tensors", r->ignored_tensors, r->n_ignored_tensors, b);
    }
    put_matrices(r, b);
    put_ffn(r, b);
    if (!r->graph) return;
    put_memory(r, b);
    put_variants(r, b);
}

/* ---- JSON */

/* Names from a file need not be UTF-8. */
static json_t *string(const char *s) {
    json_t *j = json_string(s);
    if (j) return j;
    char *safe = tn_xcalloc(strlen(s) + 1, 1);
    for (size_t i = 0; s[i]; i++) safe[i] = (unsigned char)s[i] < 0x80 ? s[i] : '?';
    j = json_string(safe);
    free(safe);
    return j;
}
static json_t *whole(uint64_t n) {
    return json_integer((json_int_t)n);
}

static json_t *findings_json(const TnFindings *f) {
    json_t *list = json_array();
    for (size_t i = 0; i < f->n; i++) {
        json_t *o = json_object();
        json_object_set_new(o, "what", string(f->v[i].what));
        json_object_set_new(o, "value", string(f->v[i].value));
        json_object_set_new(o, "from", string(f->v[i].from));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *names_json(const char *const *names, size_t n) {
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(list, string(names[i]));
    return list;
}

/* A scale that is no number has no spelling in json. */
static json_t *real(float f) {
    return f - f == 0.0f ? json_real((double)f) : json_null();
}

static json_t *matrices_json(const TnReport *r) {
    json_t *list = json_array();
    for (size_t i = 0; i < r->n_matrices; i++) {
        const TnTrits *t = &r->matrices[i].trits;
        json_t *o = json_object();
        json_object_set_new(o, "name", string(r->matrices[i].tensor->name));
        json_object_set_new(o, "type", string(tn_encs[r->matrices[i].tensor->enc].name));
        json_object_set_new(o, "rows", whole(t->rows));
        json_object_set_new(o, "cols", whole(t->cols));
        json_object_set_new(o, "minus", whole(t->minus));
        json_object_set_new(o, "zero", whole(t->zero));
        json_object_set_new(o, "plus", whole(t->plus));
        json_object_set_new(o, "invalid", whole(t->bad));
        json_object_set_new(o, "dead_rows", whole(t->dead_rows));
        json_object_set_new(o, "scales", whole(t->n_scales));
        json_object_set_new(o, "scale_lo", real(t->scale_lo));
        json_object_set_new(o, "scale_hi", real(t->scale_hi));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *ffn_json(const TnReport *r) {
    json_t *list = json_array();
    for (size_t i = 0; i < r->n_ffn; i++) {
        json_t *o = json_object();
        json_object_set_new(o, "layer", whole(r->ffn[i].layer));
        json_object_set_new(o, "neurons", whole(r->ffn[i].neurons));
        json_object_set_new(o, "gate", whole(r->ffn[i].gate));
        json_object_set_new(o, "up", whole(r->ffn[i].up));
        json_object_set_new(o, "dead", whole(r->ffn[i].dead));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *memory_json(const TnReport *r) {
    json_t *o = json_object(), *ternary = json_object(), *tables = json_object(), *caches = json_array();
    json_object_set_new(ternary, "file", whole(r->stored_bytes));
    json_object_set_new(ternary, "p64", whole(r->packed_bytes));
    json_object_set_new(ternary, "five_a_byte", whole(fifths(r)));
    json_object_set_new(tables, "file", whole(r->table_bytes));
    for (size_t i = 0; i < TN_COUNT(table_types); i++)
        json_object_set_new(tables, table_types[i].name,
                            whole(r->n_table / table_types[i].elems * table_types[i].bytes));
    uint32_t ctx[8], n = contexts(r, ctx);
    for (uint32_t i = 0; i < n; i++) {
        json_t *c = json_object();
        json_object_set_new(c, "context", whole(ctx[i]));
        for (size_t k = 0; k < TN_COUNT(cache_types); k++)
            json_object_set_new(c, cache_types[k].name, whole(cache_bytes(r, ctx[i], k)));
        json_array_append_new(caches, c);
    }
    json_object_set_new(o, "ternary", ternary);
    json_object_set_new(o, "dense", whole(r->other_bytes));
    json_object_set_new(o, "tables", tables);
    json_object_set_new(o, "norms", whole(r->n_norm * 4));
    json_object_set_new(o, "planned", whole(r->planned_bytes));
    json_object_set_new(o, "caches", caches);
    return o;
}

static json_t *variants_json(const TnReport *r) {
    json_t *list = json_array();
    for (size_t i = 0; i < r->n_variants; i++) {
        const TnReportVariant *v = &r->variants[i];
        json_t *o = json_object(), *kernels = json_array();
        for (size_t k = 0; k < v->n; k++) {
            json_t *one = json_object();
            json_object_set_new(one, "what", string(v->v[k].what));
            json_object_set_new(one, "target", string(v->v[k].target));
            json_object_set_new(one, "axis", string(v->v[k].axis));
            json_object_set_new(one, "n", whole(v->v[k].n));
            json_array_append_new(kernels, one);
        }
        json_object_set_new(o, "rows_lo", json_integer(v->rows_lo));
        json_object_set_new(o, "rows_hi", json_integer(v->rows_hi));
        json_object_set_new(o, "kernels", kernels);
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *model_json(const TnFacts *f) {
    json_t *o = json_object();
    const struct {
        const char *name;
        uint64_t n;
    } facts[] = {{"parameters", f->n_params}, {"layers", f->n_layers},    {"hidden", f->n_hidden},
                 {"ffn", f->n_ffn},           {"heads", f->n_heads},      {"kv_heads", f->n_kv_heads},
                 {"head_dim", f->head_dim},   {"vocabulary", f->n_vocab}, {"context", f->n_context}};
    json_object_set_new(o, "architecture", string(f->arch));
    for (size_t i = 0; i < TN_COUNT(facts); i++) json_object_set_new(o, facts[i].name, whole(facts[i].n));
    return o;
}

void tn_report_json(const TnReport *r, TnBuf *out) {
    json_t *o = json_object();
    json_object_set_new(o, "file", string(r->gguf->path));
    json_object_set_new(o, "producer", findings_json(&r->producer));
    json_object_set_new(o, "runs", json_boolean(r->graph != NULL));
    json_object_set_new(o, "refused", r->graph ? json_null() : string(r->refused.text));
    json_object_set_new(o, "inferred", findings_json(&r->inferred));
    json_object_set_new(o, "notes", findings_json(&r->notes));
    json_object_set_new(o, "ternary", matrices_json(r));
    json_object_set_new(o, "ffn", ffn_json(r));
    if (r->graph) {
        json_object_set_new(o, "model", model_json(&r->facts));
        json_object_set_new(o, "ignored_keys", names_json(r->ignored_keys, r->n_ignored_keys));
        json_object_set_new(o, "ignored_tensors", names_json(r->ignored_tensors, r->n_ignored_tensors));
        json_object_set_new(o, "memory", memory_json(r));
        json_object_set_new(o, "level", string(r->level));
        json_object_set_new(o, "variants", variants_json(r));
    }
    char *text = json_dumps(o, JSON_INDENT(1));
    json_decref(o);
    if (!text) TN_BUG("the import report of %s has no json", r->gguf->path);
    tn_buf_puts(out, text);
    tn_buf_puts(out, "\n");
    free(text);
}
