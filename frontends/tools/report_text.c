/* Writes the import report as tables and as json. */
#include "frontends/json.h"
#include "frontends/tools/report.h"
#include <stdlib.h>
#include <string.h>

#define MIB(bytes)      ((double)(bytes) / (1 << 20))
#define PERCENT(n, all) ((all) ? 100.0 * (double)(n) / (double)(all) : 0.0)

/* Contexts for which the cache is shown: these, up to the model's, and the model's. */
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
    uint64_t elems, bytes; /* of a block */
} table_types[] = {{"f32", 1, 4}, {"f16", 1, 2}, {"q8_0", 32, 34}, {"q6_k", 256, 210}};

/* int8 caches also have a scale for each position and head. */
static uint64_t cache_bytes(const TnReport *r, uint32_t context, const TnKvType *type) {
    uint64_t scales = r->kv_values / r->facts.head_dim * type->scale_bytes;
    return context * (r->kv_values * type->elem_bytes + scales);
}

/* Five weights per byte: 3^5 = 243. */
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
        tn_buf_printf(b, "  %-18s %s\n  %-18s   %s%s\n", f->v[i].what, tn_listed(f->v[i].value).s, "", from,
                      tn_listed(f->v[i].from).s);
}

static void put_names(const char *what, const char *const *names, size_t n, TnBuf *b) {
    tn_buf_printf(b, "  %-10s", what);
    for (size_t i = 0; i < n; i++) tn_buf_printf(b, "%s%s", i ? "\n            " : "", tn_listed(names[i]).s);
    tn_buf_puts(b, n ? "\n" : "none\n");
}

static void put_types(const TnReport *r, TnBuf *b) {
    tn_buf_puts(b, "\ntensor types\n");
    const TnGguf *g = r->gguf;
    for (size_t i = 0; i < g->n_tensors; i++) {
        uint32_t type = g->tensors[i].type, n = 0;
        for (size_t j = 0; j < g->n_tensors; j++) {
            if (g->tensors[j].type != type) continue;
            if (j < i) break; /* listed already */
            n++;
        }
        const char *name = tn_gguf_tensor_type_name(&g->tensors[i]);
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
    const char *three = t->two ? "weights of +2 (code 3)" : "invalid codes (3)";
    if (t->bad) tn_buf_printf(b, "; %llu %s", (unsigned long long)t->bad, three);
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
        tn_buf_printf(b, "  %-28s %-5s %14s", tn_listed(r->matrices[i].tensor->name).s,
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
        for (size_t k = 0; tn_kv_row(k); k++)
            tn_buf_printf(b, " %10.1f %s", MIB(cache_bytes(r, ctx[i], tn_kv_row(k))), tn_kv_row(k)->name);
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
    tn_buf_printf(b, "%s: import report\n", tn_listed(r->gguf->path).s);
    put_findings(&r->producer, "producer", "from ", b);
    if (r->graph)
        tn_buf_printf(
            b,
            "\nmodel\n  %s, %.2f M parameters, %u layers, hidden %u, ffn %u, %u heads (%u kv) of %u, "
            "vocabulary %u, context %u\n",
            tn_listed(r->facts.arch).s, (double)r->facts.n_params / 1e6, r->facts.n_layers, r->facts.n_hidden,
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

static json_t *findings_json(const TnFindings *f) {
    json_t *list = tn_json_array();
    for (size_t i = 0; i < f->n; i++) {
        json_t *o = tn_json_object();
        tn_json_set(o, "what", tn_json_text(f->v[i].what));
        tn_json_set(o, "value", tn_json_text(f->v[i].value));
        tn_json_set(o, "from", tn_json_text(f->v[i].from));
        tn_json_push(list, o);
    }
    return list;
}

static json_t *names_json(const char *const *names, size_t n) {
    json_t *list = tn_json_array();
    for (size_t i = 0; i < n; i++) tn_json_push(list, tn_json_text(names[i]));
    return list;
}

/* json cannot express a scale that is not finite. */
static json_t *real(float f) {
    return tn_json_real((double)f);
}

static json_t *matrices_json(const TnReport *r) {
    json_t *list = tn_json_array();
    for (size_t i = 0; i < r->n_matrices; i++) {
        const TnTrits *t = &r->matrices[i].trits;
        json_t *o = tn_json_object();
        tn_json_set(o, "name", tn_json_text(r->matrices[i].tensor->name));
        tn_json_set(o, "type", tn_json_text(tn_encs[r->matrices[i].tensor->enc].name));
        tn_json_set(o, "rows", tn_json_int(t->rows));
        tn_json_set(o, "cols", tn_json_int(t->cols));
        tn_json_set(o, "minus", tn_json_int(t->minus));
        tn_json_set(o, "zero", tn_json_int(t->zero));
        tn_json_set(o, "plus", tn_json_int(t->plus));
        tn_json_set(o, t->two ? "plus_two" : "invalid", tn_json_int(t->bad));
        tn_json_set(o, "dead_rows", tn_json_int(t->dead_rows));
        tn_json_set(o, "scales", tn_json_int(t->n_scales));
        tn_json_set(o, "scale_lo", real(t->scale_lo));
        tn_json_set(o, "scale_hi", real(t->scale_hi));
        tn_json_push(list, o);
    }
    return list;
}

static json_t *ffn_json(const TnReport *r) {
    json_t *list = tn_json_array();
    for (size_t i = 0; i < r->n_ffn; i++) {
        json_t *o = tn_json_object();
        tn_json_set(o, "layer", tn_json_int(r->ffn[i].layer));
        tn_json_set(o, "neurons", tn_json_int(r->ffn[i].neurons));
        tn_json_set(o, "gate", tn_json_int(r->ffn[i].gate));
        tn_json_set(o, "up", tn_json_int(r->ffn[i].up));
        tn_json_set(o, "dead", tn_json_int(r->ffn[i].dead));
        tn_json_push(list, o);
    }
    return list;
}

static json_t *memory_json(const TnReport *r) {
    json_t *o = tn_json_object(), *ternary = tn_json_object(), *tables = tn_json_object(),
           *caches = tn_json_array();
    tn_json_set(ternary, "file", tn_json_int(r->stored_bytes));
    tn_json_set(ternary, "p64", tn_json_int(r->packed_bytes));
    tn_json_set(ternary, "five_a_byte", tn_json_int(fifths(r)));
    tn_json_set(tables, "file", tn_json_int(r->table_bytes));
    for (size_t i = 0; i < TN_COUNT(table_types); i++)
        tn_json_set(tables, table_types[i].name,
                    tn_json_int(r->n_table / table_types[i].elems * table_types[i].bytes));
    uint32_t ctx[8], n = contexts(r, ctx);
    for (uint32_t i = 0; i < n; i++) {
        json_t *c = tn_json_object();
        tn_json_set(c, "context", tn_json_int(ctx[i]));
        for (size_t k = 0; tn_kv_row(k); k++)
            tn_json_set(c, tn_kv_row(k)->name, tn_json_int(cache_bytes(r, ctx[i], tn_kv_row(k))));
        tn_json_push(caches, c);
    }
    tn_json_set(o, "ternary", ternary);
    tn_json_set(o, "dense", tn_json_int(r->other_bytes));
    tn_json_set(o, "tables", tables);
    tn_json_set(o, "norms", tn_json_int(r->n_norm * 4));
    tn_json_set(o, "planned", tn_json_int(r->planned_bytes));
    tn_json_set(o, "caches", caches);
    return o;
}

static json_t *variants_json(const TnReport *r) {
    json_t *list = tn_json_array();
    for (size_t i = 0; i < r->n_variants; i++) {
        const TnReportVariant *v = &r->variants[i];
        json_t *o = tn_json_object(), *kernels = tn_json_array();
        for (size_t k = 0; k < v->n; k++) {
            json_t *one = tn_json_object();
            tn_json_set(one, "what", tn_json_text(v->v[k].what));
            tn_json_set(one, "target", tn_json_text(v->v[k].target));
            tn_json_set(one, "axis", tn_json_text(v->v[k].axis));
            tn_json_set(one, "n", tn_json_int(v->v[k].n));
            tn_json_push(kernels, one);
        }
        tn_json_set(o, "rows_lo", tn_json_int((uint64_t)v->rows_lo));
        tn_json_set(o, "rows_hi", tn_json_int((uint64_t)v->rows_hi));
        tn_json_set(o, "kernels", kernels);
        tn_json_push(list, o);
    }
    return list;
}

static json_t *model_json(const TnFacts *f) {
    json_t *o = tn_json_object();
    const struct {
        const char *name;
        uint64_t n;
    } facts[] = {{"parameters", f->n_params}, {"layers", f->n_layers},    {"hidden", f->n_hidden},
                 {"ffn", f->n_ffn},           {"heads", f->n_heads},      {"kv_heads", f->n_kv_heads},
                 {"head_dim", f->head_dim},   {"vocabulary", f->n_vocab}, {"context", f->n_context}};
    tn_json_set(o, "architecture", tn_json_text(f->arch));
    for (size_t i = 0; i < TN_COUNT(facts); i++) tn_json_set(o, facts[i].name, tn_json_int(facts[i].n));
    return o;
}

void tn_report_json(const TnReport *r, TnBuf *out) {
    json_t *o = tn_json_object();
    tn_json_set(o, "file", tn_json_text(r->gguf->path));
    tn_json_set(o, "producer", findings_json(&r->producer));
    tn_json_set(o, "runs", json_boolean(r->graph != NULL));
    tn_json_set(o, "refused", r->graph ? json_null() : tn_json_text(r->refused.text));
    tn_json_set(o, "inferred", findings_json(&r->inferred));
    tn_json_set(o, "notes", findings_json(&r->notes));
    tn_json_set(o, "ternary", matrices_json(r));
    tn_json_set(o, "ffn", ffn_json(r));
    if (r->graph) {
        tn_json_set(o, "model", model_json(&r->facts));
        tn_json_set(o, "ignored_keys", names_json(r->ignored_keys, r->n_ignored_keys));
        tn_json_set(o, "ignored_tensors", names_json(r->ignored_tensors, r->n_ignored_tensors));
        tn_json_set(o, "memory", memory_json(r));
        tn_json_set(o, "level", tn_json_text(r->level));
        tn_json_set(o, "variants", variants_json(r));
    }
    tn_json_end(o, JSON_INDENT(1), out);
}
