/* Writes a profile to a file: json, a trace for Perfetto or chrome://tracing, or the graphs with comments. */
#include <stdlib.h>
#include <string.h>
#include "frontends/cli/profile_collect.h"
#include "frontends/json.h"
#include "runtime/base/buf.h"

static TernStatus write_out(const char *path, TnBuf *b, TernError *err) {
    TnWriter w;
    TernStatus st = tn_writer_open(path, &w, err);
    if (st == TERN_OK) {
        st = tn_writer_put(&w, b->data, b->len, err);
        if (st == TERN_OK)
            st = tn_writer_commit(&w, err);
        else
            tn_writer_abort(&w);
    }
    tn_buf_free(b);
    return st;
}

/* ---- json */

static void set_int(json_t *o, const char *key, uint64_t v) {
    tn_json_set(o, key, tn_json_int(v));
}
static void set_real(json_t *o, const char *key, double v) {
    tn_json_set(o, key, tn_json_real(v));
}
static void set_text(json_t *o, const char *key, const char *v) {
    tn_json_set(o, key, tn_json_text(v));
}

static json_t *json_cost(const Test *t, const Seen *s, const Cost *c) {
    json_t *o = tn_json_object(), *busy = tn_json_array();
    set_int(o, "launch", c->launch);
    set_int(o, "group", c->group);
    set_int(o, "kernels", c->members);
    set_text(o, "name", c->name);
    set_text(o, "what", c->what);
    set_int(o, "calls", c->calls);
    set_real(o, "seconds", (double)c->ns / 1e9);
    set_real(o, "wait_seconds", (double)c->wait_ns / 1e9);
    for (uint32_t w = 0; w < t->workers; w++) tn_json_push(busy, tn_json_real((double)c->busy_ns[w] / 1e9));
    tn_json_set(o, "busy_seconds", busy);
    set_real(o, "imbalance", cost_imbalance(c, t->workers));
    set_real(o, "share", (double)c->ns / (double)s->facts.ns);
    set_int(o, "units", c->units);
    if (c->grain) set_int(o, "grain", (uint64_t)c->grain);
    if (c->grain) set_int(o, "least_grain", (uint64_t)c->least);
    if (!s->known) return o;
    set_real(o, "bytes", c->bytes);
    set_real(o, "weight_bytes", c->weight_bytes);
    set_real(o, "table_bytes", c->table_bytes);
    set_real(o, "operations", 2 * c->macs);
    set_real(o, "gb_s", cost_rate(c) / 1e9);
    set_real(o, "gops", cost_ops(c) / 1e9);
    set_real(o, "floor", cost_floor(c, t->read_rate));
    return o;
}

static json_t *json_seen(const Test *t, const Seen *s) {
    static const char *const names[] = {"T", "R", "K", "H"};
    const TernProfileProgram *f = &s->facts;
    json_t *o = tn_json_object(), *rows = tn_json_object(), *groups = tn_json_array(),
           *kernels = tn_json_array();
    set_int(o, "variant", f->variant);
    set_int(o, "rows_lo", f->rows_lo);
    set_int(o, "rows_hi", f->rows_hi);
    set_int(o, "runs", f->runs);
    set_real(o, "seconds", (double)f->ns / 1e9);
    set_real(o, "kernel_seconds", (double)s->kernel_ns / 1e9);
    set_real(o, "wait_seconds", (double)s->wait_ns / 1e9);
    set_real(o, "start_seconds", (double)f->idle_ns / 1e9);
    set_real(o, "rest_seconds", (double)f->rest_ns / 1e9);
    set_real(o, "step_seconds", (double)(f->ns + f->rest_ns) / 1e9);
    for (size_t i = 0; i < TN_COUNT(names); i++) set_int(rows, names[i], f->sym[i]);
    tn_json_set(o, "rows", rows);
    set_int(o, "positions_held", f->held);
    set_int(o, "positions_attended", f->attended);
    set_int(o, "plan_weight_bytes", f->weight_bytes);
    set_int(o, "workers", t->workers);
    for (uint32_t i = 0; i < s->n_groups; i++) tn_json_push(groups, json_cost(t, s, &s->groups[i]));
    for (uint32_t i = 0; i < s->n_launches; i++) tn_json_push(kernels, json_cost(t, s, &s->launches[i]));
    tn_json_set(o, "groups", groups);
    tn_json_set(o, "kernels", kernels);
    return o;
}

/* A summary for pictures: the launches of the variant that took the most time. */
static json_t *json_dearest(const Test *tests, uint32_t n) {
    const Seen *most = NULL;
    json_t *list = tn_json_array();
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < tests[i].n_seen; k++)
            if (!most || tests[i].seen[k].facts.ns > most->facts.ns) most = &tests[i].seen[k];
    for (uint32_t i = 0; most && i < most->n_launches; i++) {
        json_t *o = tn_json_object();
        set_text(o, "name", most->launches[i].name);
        set_real(o, "ms", (double)most->launches[i].ns / 1e6);
        tn_json_push(list, o);
    }
    return list;
}

TernStatus profile_write_json(const char *path, const Loaded *m, const Test *tests, uint32_t n,
                              TernError *err) {
    json_t *all = tn_json_object(), *list = tn_json_array();
    set_text(all, "build", tern_version());
    set_text(all, "model", m->info.name);
    set_text(all, "level", m->info.level);
    for (uint32_t i = 0; i < n; i++) {
        json_t *o = tn_json_object(), *variants = tn_json_array();
        set_text(o, "test", tests[i].name);
        set_int(o, "threads", tests[i].threads);
        set_real(o, "read_gb_s", tests[i].read_rate / 1e9);
        for (uint32_t k = 0; k < tests[i].n_seen; k++)
            tn_json_push(variants, json_seen(&tests[i], &tests[i].seen[k]));
        tn_json_set(o, "variants", variants);
        tn_json_push(list, o);
    }
    tn_json_set(all, "kernels", json_dearest(tests, n));
    tn_json_set(all, "tests", list);
    TnBuf b = {0};
    tn_json_end(all, JSON_INDENT(1) | JSON_REAL_PRECISION(12), &b);
    return write_out(path, &b, err);
}

/* ---- trace */

static void put_meta(TnBuf *b, uint32_t pid, const char *what, uint32_t tid, const char *name) {
    tn_buf_printf(b, "{\"ph\":\"M\",\"pid\":%u,\"tid\":%u,\"name\":\"%s\",\"args\":{\"name\":", pid, tid,
                  what);
    tn_put_json(name, b);
    tn_buf_puts(b, "}},\n");
}

static void put_event(TnBuf *b, uint32_t pid, const Test *t, const TernProfileEvent *e, uint64_t origin) {
    const Seen *s = &t->seen[t->program_seen[e->program]];
    bool run = e->launch == UINT32_MAX;
    const Cost *c = run ? NULL : &s->launches[e->launch];
    tn_buf_printf(b, "{\"ph\":\"X\",\"pid\":%u,\"tid\":%u,\"ts\":%.3f,\"dur\":%.3f,\"cat\":\"%s\",\"name\":",
                  pid, run ? 0 : e->worker + 1, (double)(e->begin - origin) / 1e3,
                  (double)(e->end - e->begin) / 1e3, run ? "run" : "kernel");
    tn_put_json(run ? "run" : c->name, b);
    tn_buf_printf(b, ",\"args\":{\"rows\":%u", e->rows);
    if (!run) {
        tn_buf_printf(b, ",\"launch\":%u,\"what\":", e->launch);
        tn_put_json(c->what, b);
    }
    tn_buf_puts(b, "}},\n");
}

TernStatus profile_write_trace(const char *path, const Loaded *m, const Test *tests, uint32_t n,
                               TernError *err) {
    TnBuf b = {0};
    uint64_t origin = UINT64_MAX;
    for (uint32_t i = 0; i < n; i++)
        for (size_t k = 0; k < tests[i].n_events; k++)
            if (tests[i].events[k].begin < origin) origin = tests[i].events[k].begin;
    tn_buf_puts(&b, "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n");
    for (uint32_t i = 0; i < n; i++) {
        char name[32];
        put_meta(&b, i + 1, "process_name", 0, tests[i].name);
        put_meta(&b, i + 1, "thread_name", 0, "runs");
        for (uint32_t w = 0; w < tests[i].workers; w++) {
            snprintf(name, sizeof name, "worker %u", w);
            put_meta(&b, i + 1, "thread_name", w + 1, name);
        }
        for (size_t k = 0; k < tests[i].n_events; k++)
            put_event(&b, i + 1, &tests[i], &tests[i].events[k], origin);
    }
    b.len -= b.len > 2 && b.data[b.len - 2] == ',' ? 2 : 0;
    tn_buf_puts(&b, "\n],\"otherData\":{\"model\":");
    tn_put_json(m->info.name, &b);
    tn_buf_puts(&b, "}}\n");
    return write_out(path, &b, err);
}

/* ---- tir: the text of the TIR section, only the graphs that ran */

static bool starts(const char *line, size_t n, const char *word) {
    return n >= strlen(word) && memcmp(line, word, strlen(word)) == 0;
}

static const Seen *last_seen(const Test *tests, uint32_t n, uint32_t variant, const Test **test) {
    const Seen *found = NULL;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < tests[i].n_seen; k++)
            if (tests[i].seen[k].facts.variant == variant) {
                found = &tests[i].seen[k];
                *test = &tests[i];
            }
    return found;
}

static void note_graph(TnBuf *b, const Test *t, const Seen *s) {
    double ns = (double)s->facts.ns;
    tn_buf_printf(b, "  ; %s, %u threads: %llu runs, %.3f ms each, kernels %.1f %%; memory reads %.1f GB/s\n",
                  t->name, t->threads, (unsigned long long)s->facts.runs, ns / (double)s->facts.runs / 1e6,
                  100 * (double)s->kernel_ns / ns, t->read_rate / 1e9);
}

static void note_kernel(TnBuf *b, const Test *t, const Seen *s, uint32_t launch) {
    if (launch >= s->n_launches || s->launches[launch].calls == 0) {
        tn_buf_puts(b, "  ; not called\n");
        return;
    }
    const Cost *c = &s->launches[launch];
    tn_buf_printf(b, "  ; %.1f %%: %llu calls, %.3f ms, %.2f us each, imbalance %.0f %%",
                  100 * (double)c->ns / (double)s->facts.ns, (unsigned long long)c->calls,
                  (double)c->ns / 1e6, (double)c->ns / 1e3 / (double)c->calls,
                  100 * cost_imbalance(c, t->workers));
    if (s->known)
        tn_buf_printf(b, "; %.1f KB each, %.2f GB/s, %.2f GOPS, %.0f %% of the floor",
                      c->bytes / 1e3 / (double)c->calls, cost_rate(c) / 1e9, cost_ops(c) / 1e9,
                      100 * cost_floor(c, t->read_rate));
    tn_buf_puts(b, "\n");
}

TernStatus profile_write_tir(const char *path, const Loaded *m, const Test *tests, uint32_t n,
                             TernError *err) {
    size_t size;
    const char *tir = tern_model_section(m->model, TERN_SECTION_TIR, 0, &size);
    if (!tir) return tn_fail(err, TERN_ERR_INPUT, "%s: the model has no section TIR to annotate", path);
    TnBuf b = {0};
    const Seen *s = NULL;
    const Test *t = NULL;
    uint32_t variant = 0, launch = 0;
    tn_buf_puts(&b, "tir 1\n");
    for (const char *p = tir, *end = tir + size; p < end;) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        size_t len = stop ? (size_t)(stop + 1 - p) : (size_t)(end - p);
        bool graph = starts(p, len, "graph @");
        if (graph) {
            s = last_seen(tests, n, variant++, &t);
            launch = 0;
        }
        if (s && starts(p, len, "  kernel @")) note_kernel(&b, t, s, launch++);
        if (s) tn_buf_put(&b, p, len);
        if (s && graph) note_graph(&b, t, s);
        p += len;
    }
    return write_out(path, &b, err);
}
