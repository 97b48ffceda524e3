/* Runs every launch twice from the same inputs: by its code and by the evaluator.
 *
 * The model runs as usual, but each launch comes here (TernKernels.watch). The evaluator works on copies. The
 * code works on the real buffers, cut into as many tiles as there would be workers, and the next launch gets
 * its results. So every kernel is checked with the values that really reach it, the first faulty kernel is
 * found, and a kernel that only passes on a wrong value is not blamed. Then the code runs once more, unit by
 * unit from the last to the first, on separate buffers with a guard after each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/tools/verify.h"

enum { GUARD = 256, WANTS = TN_WHOLE_ROWS, SINGLES = 8 };

/* ---- results */

enum { BEST, TOP, LOGITS, HIDDEN };

static const TnType *output_type(const TnGraph *g, const char *name) {
    TnRef r = tn_graph_find(g, TN_OP_output, name);
    return r == TN_NONE ? NULL : &g->nodes[r].type;
}

void tn_results_create(const TnGraph *g, uint32_t first, uint32_t n, TnResults *out) {
    const TnType *best = output_type(g, "best"), *top = output_type(g, "top"),
                 *toplogit = output_type(g, "toplogit"), *logits = output_type(g, "logits"),
                 *hidden = output_type(g, "hidden");
    *out = (TnResults){.first = first, .n = n};
    if (best) out->best = tn_xcalloc(n, sizeof(int32_t));
    if (best && top && toplogit) {
        out->topk = (uint32_t)top->dim[1];
        out->top = tn_xcalloc((size_t)n * out->topk, sizeof(int32_t));
        out->toplogit = tn_xcalloc((size_t)n * out->topk, sizeof(float));
    }
    if (best && logits) {
        out->vocab = (uint32_t)logits->dim[1];
        out->logits = tn_xcalloc((size_t)n * out->vocab, sizeof(float));
    }
    if (hidden) {
        out->hidden = (uint32_t)hidden->dim[1];
        out->hiddens = tn_xcalloc((size_t)n * out->hidden, sizeof(float));
    }
    for (int k = 0; k < 4; k++) out->known[k] = tn_xcalloc(n, sizeof(bool));
}

void tn_results_free(TnResults *r) {
    free(r->best);
    free(r->top);
    free(r->toplogit);
    free(r->logits);
    free(r->hiddens);
    for (int k = 0; k < 4; k++) free(r->known[k]);
    *r = (TnResults){0};
}

static void take_rows(void *to, uint32_t cols, const TnGraph *g, TnEval *e, const char *name, uint32_t n) {
    const uint8_t *from = tn_eval_output(e, name);
    size_t stride = tn_row_bytes(output_type(g, name));
    for (uint32_t i = 0; i < n; i++)
        memcpy((uint8_t *)to + (size_t)i * cols * 4, from + i * stride, (size_t)cols * 4);
}

void tn_results_take(TnResults *r, const TnWhole *w) {
    const TnGraph *g = w->g;
    TnEval *e = w->e;
    if (r->best) take_rows(r->best, 1, g, e, "best", r->n);
    if (r->top) take_rows(r->top, r->topk, g, e, "top", r->n);
    if (r->top) take_rows(r->toplogit, r->topk, g, e, "toplogit", r->n);
    if (r->logits) take_rows(r->logits, r->vocab, g, e, "logits", r->n);
    if (r->hiddens) take_rows(r->hiddens, r->hidden, g, e, "hidden", r->n);
    for (int k = 0; k < 4; k++) memset(r->known[k], 1, r->n);
    r->from_model = true;
}

/* ---- messages about differences */

static void put_class(const TnGraph *g, TnBuf *out) {
    if (g->rows_lo == g->rows_hi)
        tn_buf_printf(out, "rows %lld", (long long)g->rows_lo);
    else
        tn_buf_printf(out, "rows %lld..%lld", (long long)g->rows_lo, (long long)g->rows_hi);
}

static void put_variant(const TnGraph *g, TnBuf *out) {
    tn_buf_printf(out, "level %s, kv %s, ", g->level, tn_kv_names[g->kv]);
    put_class(g, out);
}

/* Returns whether a row with this want is among the rows of symbol s. apart: rows that want all logits have a
 * symbol of their own (L). Among the rows of R, those that want the best id come first. */
static bool counts(TnSym s, uint32_t want, bool best_first, bool apart) {
    if (s == TN_H) return want == TERN_WANT_HIDDEN;
    if (s == TN_L) return want == TERN_WANT_LOGITS;
    if (best_first) return want == TERN_WANT_TOP;
    return s == TN_R && (want == TERN_WANT_GREEDY || (want == TERN_WANT_LOGITS && !apart));
}

/* The row of the step that a row of a value belongs to, or -1. */
static int64_t step_row(const TnWatch *w, const TnGraph *g, const TnType *t, int64_t row) {
    TnSym s = tn_dim_is_sym(t->dim[0]) ? tn_dim_sym(t->dim[0]) : TN_SYM_COUNT;
    bool apart = false;
    if (tn_encs[t->enc].kind == TN_CACHE) return -1;
    if (s == TN_T) return row;
    if (s != TN_R && s != TN_K && s != TN_H && s != TN_L) return -1;
    for (TnRef r = 0; r < g->n; r++) apart |= g->nodes[r].type.dim[0] == tn_sym_dim(TN_L);
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; i < w->rows; i++) {
            bool only_once = s == TN_H || s == TN_L; /* one round covers all rows */
            if (only_once && pass) continue;
            if (counts(s, w->row[i].want, pass == 0, apart) && row-- == 0) return i;
        }
    return -1;
}

static void put_place(const TnWatch *w, const TnGraph *g, const TnType *t, const TnMismatch *d, TnBuf *out) {
    int64_t row = step_row(w, g, t, d->row);
    tn_buf_printf(out, "  at    %s", d->place);
    if (row >= 0)
        tn_buf_printf(out, " (position %lld, token %d)", (long long)(w->first + row),
                      w->tokens[w->first + row]);
    tn_buf_puts(out, "\n");
}

static void put_both(const char *a, const char *b, const TnMismatch *d, TnBuf *out) {
    tn_buf_printf(out, "  %-5s %s\n  %-5s %s, %s\n", a, d->a, b, d->b, d->apart);
    if (d->n > 1)
        tn_buf_printf(out, "  %llu of %llu values differ\n", (unsigned long long)d->n,
                      (unsigned long long)d->of);
}

/* ---- a launch */

typedef struct Launch {
    TnWatch *w;
    const TernWatch *call; /* NULL: on a device */
    uint32_t variant;
    const TnLaunch *args;
    const TnGraph *g;
    uint32_t kernel, n, n_in;
    TnRef ops[64];
    size_t bytes[64];
    bool stored[64];  /* whether it is a cache that the kernel stores into */
    void *before[64]; /* copies of those caches */
    void *want[64];   /* the evaluator's results */
    void *again[64];  /* the code's results of the second run */
} Launch;

static void *room(size_t bytes, const void *from) {
    uint8_t *p = aligned_alloc(64, (bytes + GUARD + 63) / 64 * 64);
    if (!p) tn_out_of_memory(bytes);
    if (from)
        memcpy(p, from, bytes);
    else
        memset(p, 0xa5, bytes);
    memset(p + bytes, 0x77, GUARD);
    return p;
}

static bool made(const Launch *l, uint32_t i) {
    return i >= l->n_in || l->stored[i];
}

static void prepare(Launch *l) {
    const TnKernel *k = &l->g->kernels[l->kernel];
    l->n = tn_kernel_operands(l->g, l->kernel, l->ops, &l->n_in);
    for (uint32_t i = 0; i < l->n; i++) {
        l->bytes[i] = tn_type_bytes(&l->g->nodes[l->ops[i]].type, l->args->sym);
        for (TnRef r = k->first; r < k->first + k->n; r++)
            if (tn_op_is(l->g->nodes[r].op, TN_TRAIT_STATE) && tn_alias_root(l->g, r) == l->ops[i])
                l->stored[i] = true;
        l->want[i] = l->again[i] = l->before[i] = l->args->ptr[i];
        if (!made(l, i)) continue;
        const void *old = l->stored[i] ? l->args->ptr[i] : NULL;
        l->before[i] = old ? room(l->bytes[i], old) : NULL;
        l->want[i] = room(l->bytes[i], old);
        l->again[i] = room(l->bytes[i], old);
        /* values of an earlier step must not pass for results of this one */
        if (!l->stored[i]) memset(l->args->ptr[i], 0xa5, l->bytes[i]);
    }
}

static void release(Launch *l) {
    for (uint32_t i = 0; i < l->n; i++) {
        if (!made(l, i)) continue;
        free(l->before[i]);
        free(l->want[i]);
        free(l->again[i]);
    }
}

static void evaluate(Launch *l) {
    void *scratch = room(tn_eval_kernel_scratch(l->g, l->kernel, l->args->sym), NULL);
    tn_eval_kernel(l->g, l->kernel, l->want, l->args->sym, scratch);
    free(scratch);
}

/* A fault of a kernel is the device's failure: nothing more can be compared. */
static void run_on_device(Launch *l) {
    TnWatch *w = l->w;
    bool written[TN_LAB_OPERANDS];
    for (uint32_t i = 0; i < l->n; i++) written[i] = made(l, i);
    TnLabRun r = {.ptr = l->args->ptr, .bytes = l->bytes, .written = written, .n = l->n, .sym = l->args->sym};
    w->failed = tn_lab_launch(w->lab, w->model, l->g->level, l->variant, l->kernel, &r, &w->error);
    if (w->failed != TERN_OK)
        tn_fail_in(&w->error, w->failed, "kernel @%s (launch %u of %u)", l->g->kernels[l->kernel].name,
                   l->kernel, l->g->n_kernels);
}

static void run_here(const Launch *l) {
    TnKernelFn *fn = (TnKernelFn *)l->call->code;
    int64_t units = l->call->units, n = l->w->threads;
    for (int64_t i = 0; i < n; i++) {
        TnTile tile = {.lo = units * i / n, .hi = units * (i + 1) / n, .scratch = l->call->code_scratch};
        if (tile.lo < tile.hi) fn(l->args, &tile);
    }
    TnLaunch again = {l->again, l->args->sym};
    for (int64_t u = units; u > 0; u--) {
        TnTile tile = {.lo = u - 1, .hi = u, .scratch = l->call->code_scratch};
        fn(&again, &tile);
    }
}

static void put_kernel(const Launch *l, TnBuf *out) {
    tn_buf_printf(out, "different: kernel @%s (launch %u of %u), ", l->g->kernels[l->kernel].name, l->kernel,
                  l->g->n_kernels);
    put_variant(l->g, out);
    tn_buf_printf(out, ": step of %u row%s from position %u\n", l->w->rows, l->w->rows == 1 ? "" : "s",
                  l->w->first);
}

/* The op is searched only now, because that compiles kernels. */
static void blame(Launch *l, uint32_t at, const TnMismatch *d, const char *code) {
    TnWatch *w = l->w;
    const TnKernel *k = &l->g->kernels[l->kernel];
    TnRef leaves = l->ops[at];
    for (TnRef r = k->first; l->stored[at] && r < k->first + k->n; r++)
        if (tn_op_is(l->g->nodes[r].op, TN_TRAIT_STATE) && tn_alias_root(l->g, r) == l->ops[at]) leaves = r;
    put_kernel(l, &w->text);
    tn_buf_puts(&w->text, "  value ");
    tn_print_node(l->g, leaves, &w->text);
    tn_buf_puts(&w->text, "\n");
    put_place(w, l->g, &l->g->nodes[l->ops[at]].type, d, &w->text);
    put_both(TN_LEVEL_REF_NAME, code, d, &w->text);
    TnRef op = tn_kernel_locate(l->g, l->kernel, leaves, l->before, l->args->sym, w->lab);
    w->op = op == TN_NONE ? leaves : op;
    tn_buf_puts(&w->text, "  op    ");
    tn_print_node(l->g, w->op, &w->text);
    if (op == TN_NONE)
        tn_buf_puts(&w->text,
                    ", an output of the kernel: cut after any one op, the kernel does not differ\n");
    else
        tn_buf_printf(&w->text, ", the first that differs (emitter %s/%s)\n", k->target,
                      tn_ops[l->g->nodes[op].op].name);
    w->g = l->g;
    w->kernel = l->kernel;
    w->differ = true;
}

static void compare(Launch *l) {
    const char *target = l->g->kernels[l->kernel].target;
    for (uint32_t i = 0; i < l->n && !l->w->differ; i++) {
        TnMismatch d;
        const TnType *t = &l->g->nodes[l->ops[i]].type;
        if (!made(l, i)) continue;
        if (!tn_values_compare(t, l->args->sym, l->want[i], l->args->ptr[i], &l->w->tally, &d))
            blame(l, i, &d, target);
        else if (!l->w->lab && !tn_values_compare(t, l->args->sym, l->want[i], l->again[i], NULL, &d))
            blame(l, i, &d, "units");
    }
    for (uint32_t i = 0; i < l->n && !l->w->differ; i++)
        for (size_t b = 0; !l->w->lab && made(l, i) && b < GUARD; b++) {
            if (((uint8_t *)l->again[i])[l->bytes[i] + b] == 0x77) continue;
            put_kernel(l, &l->w->text);
            tn_buf_printf(&l->w->text, "  the code wrote %zu bytes past the end of %%%s\n", b,
                          l->g->nodes[l->ops[i]].name);
            l->w->g = l->g;
            l->w->kernel = l->kernel;
            l->w->op = l->ops[i];
            l->w->differ = true;
            break;
        }
}

static void count(TnWatch *w, uint32_t variant, uint32_t launch) {
    const TnGraph *g = w->graphs[variant];
    if (!w->seen) w->seen = tn_xcalloc(w->n_graphs + 1, sizeof *w->seen);
    if (!w->seen[variant]) {
        w->seen[variant] = tn_xcalloc(g->n_kernels + 1, sizeof(bool));
        if (w->n_classes < TN_COUNT(w->classes)) {
            w->classes[w->n_classes][0] = (uint32_t)g->rows_lo;
            w->classes[w->n_classes++][1] = (uint32_t)g->rows_hi;
        }
    }
    w->n_kernels += !w->seen[variant][launch];
    w->seen[variant][launch] = true;
    w->n_launches++;
}

static void check(Launch *l) {
    TnWatch *w = l->w;
    if (w->differ || w->failed != TERN_OK) return;
    count(w, l->variant, l->kernel);
    prepare(l);
    evaluate(l);
    if (w->lab)
        run_on_device(l);
    else
        run_here(l);
    if (w->failed == TERN_OK) compare(l);
    release(l);
}

static void on_launch(void *user, const TernWatch *call) {
    TnWatch *w = user;
    check(&(Launch){.w = w,
                    .call = call,
                    .variant = call->variant,
                    .args = call->args,
                    .g = w->graphs[call->variant],
                    .kernel = call->launch});
}

static void on_device(void *user, uint32_t variant, uint32_t launch, const void *args, void *scratch) {
    TnWatch *w = user;
    (void)scratch;
    check(&(Launch){.w = w, .variant = variant, .args = args, .g = w->graphs[variant], .kernel = launch});
}

static void on_evaluate(void *user, uint32_t variant, uint32_t launch, const void *args, void *scratch) {
    TnWatch *w = user;
    const TnLaunch *l = args;
    count(w, variant, launch);
    tn_eval_kernel(w->graphs[variant], launch, l->ptr, l->sym, scratch);
}

static size_t scratch_of(void *user, uint32_t variant, uint32_t launch, const int64_t *sym_max) {
    const TnWatch *w = user;
    if (variant >= w->n_graphs || launch >= w->graphs[variant]->n_kernels) return SIZE_MAX;
    return w->ref ? tn_eval_kernel_scratch(w->graphs[variant], launch, sym_max) : 0;
}

void tn_watch_kernels(TnWatch *w, TernKernels *out) {
    *out = (TernKernels){.size = sizeof *out,
                         .user = w,
                         .scratch = scratch_of,
                         .run = w->lab ? on_device : on_evaluate,
                         .watch = w->ref || w->lab ? NULL : on_launch};
}

void tn_watch_free(TnWatch *w) {
    for (uint32_t i = 0; w->seen && i < w->n_graphs; i++) free(w->seen[i]);
    free(w->seen);
    tn_buf_free(&w->text);
}

/* ---- steps */

static void hold_row(TnWatch *w, int kind, const char *output, uint32_t at, TnEnc enc, uint32_t cols,
                     void *known, const void *got) {
    static const int64_t no_sym[TN_SYM_COUNT];
    TnType t = tn_type(enc, 2, (TnDim)1, (TnDim)cols);
    uint8_t *want = (uint8_t *)known + (size_t)at * cols * 4;
    TnMismatch d;
    if (w->differ) return;
    if (!w->results->known[kind][at]) {
        memcpy(want, got, (size_t)cols * 4);
        return;
    }
    w->n_rows++;
    if (tn_values_compare(&t, no_sym, want, got, NULL, &d)) return;
    uint32_t pos = w->results->first + at;
    tn_buf_printf(&w->text,
                  "different: output \"%s\" at position %u (token %d), step of %u rows from position %u\n",
                  output, pos, w->tokens[pos], w->rows, w->first);
    if (cols > 1) tn_buf_printf(&w->text, "  at    %s\n", strchr(d.place, ',') + 2);
    put_both(w->results->from_model ? "model" : "first", w->ref ? TN_LEVEL_REF_NAME : "code", &d, &w->text);
    w->differ = true;
}

static void on_result(void *user, const TernResult *r) {
    TnWatch *w = user;
    TnResults *e = w->results;
    uint32_t at = w->first + (uint32_t)r->row - e->first;
    TN_CHECK(at < e->n);
    if (r->want == TERN_WANT_HIDDEN) {
        hold_row(w, HIDDEN, "hidden", at, TN_ENC_f32, e->hidden, e->hiddens, r->hidden);
        e->known[HIDDEN][at] = true;
        return;
    }
    if (r->want == TERN_WANT_TOP) {
        hold_row(w, TOP, "top", at, TN_ENC_i32, e->topk, e->top, r->top_ids);
        hold_row(w, TOP, "toplogit", at, TN_ENC_f32, e->topk, e->toplogit, r->top_logits);
        e->known[TOP][at] = true;
    }
    if (r->want == TERN_WANT_LOGITS) {
        hold_row(w, LOGITS, "logits", at, TN_ENC_f32, e->vocab, e->logits, r->logits);
        e->known[LOGITS][at] = true;
    }
    hold_row(w, BEST, "best", at, TN_ENC_i32, 1, e->best, &r->id);
    e->known[BEST][at] = true;
}

typedef struct Steps {
    TnWatch *w;
    TernSession *session;
    TernRow *rows; /* [n] */
    uint32_t n, done, total;
    uint32_t kinds[3], n_kinds; /* wants that the graph can satisfy */
    int (*progress)(void *, const char *, uint64_t, uint64_t);
    void *user;
} Steps;

/* `turn` chooses what the rows want: each turn another kind. */
static TernStatus step(Steps *s, uint32_t first, uint32_t n, uint32_t turn, TernError *err) {
    TnWatch *w = s->w;
    if (w->differ) return TERN_OK;
    if (s->progress && s->progress(s->user, "verify", s->done, s->total))
        return tn_fail(err, TERN_ERR_CANCELLED, "cancelled");
    TN_TRY(tern_session_truncate(s->session, 0, first, err));
    for (uint32_t i = 0; i < n; i++) {
        bool wants = first + i >= w->results->first && s->n_kinds;
        s->rows[i] = (TernRow){.token = w->tokens[first + i],
                               .want = wants ? s->kinds[(first + i + turn) % s->n_kinds] : TERN_WANT_NOTHING};
    }
    w->first = first;
    w->rows = n;
    w->row = s->rows;
    TernStatus st = tern_session_step(s->session, s->rows, n, on_result, w, err);
    s->done += n;
    if (w->failed != TERN_OK) return tn_fail(err, w->failed, "%s", w->error.text);
    /* infinite logits, or logits of launches that were skipped after a difference: only the launches are
     * checked here */
    if (st == TERN_ERR_NUMERIC) st = TERN_OK;
    return st;
}

static TernStatus all_steps(Steps *s, uint32_t most, TernError *err) {
    static const uint32_t sizes[] = {8, 3, 5, 2};
    uint32_t n = s->n, from = n > WANTS ? n - WANTS : 0, alone = n > SINGLES ? n - SINGLES : 0;
    for (uint32_t at = 0; at < n; at += most) TN_TRY(step(s, at, n - at < most ? n - at : most, 0, err));
    s->w->saturated = tern_session_saturated(s->session); /* the steps below store the same values again */
    for (uint32_t at = from, i = 0, size; n > sizes[0] && at < n; at += size, i++) {
        size = sizes[i % TN_COUNT(sizes)];
        if (size > n - at) size = n - at;
        TN_TRY(step(s, at, size, 1, err));
    }
    for (uint32_t at = alone; at < n; at++) TN_TRY(step(s, at, 1, 2, err));
    /* a single row has one kind of result: run the last row again for the other kinds */
    for (uint32_t turn = 0; turn < 2; turn++) TN_TRY(step(s, n - 1, 1, turn, err));
    if (s->progress) s->progress(s->user, "verify", s->total, s->total);
    return TERN_OK;
}

TernStatus tn_watch_steps(TnWatch *w, TernModel *m, const int32_t *tokens, uint32_t n, TernKv kv,
                          int (*progress)(void *, const char *, uint64_t, uint64_t), void *user,
                          TernError *err) {
    TernPoolOptions po = {.size = sizeof po, .threads = 1};
    TernPool *pool;
    TernModelInfo info;
    tern_model_info(m, &info);
    TernSessionOptions so = {
        .size = sizeof so, .context = n, .kv = kv, .wants = info.max_rows < WANTS ? info.max_rows : WANTS};
    Steps s = {.w = w, .n = n, .total = n + WANTS + SINGLES, .progress = progress, .user = user};
    if (w->results->logits) s.kinds[s.n_kinds++] = TERN_WANT_LOGITS;
    if (w->results->top) s.kinds[s.n_kinds++] = TERN_WANT_TOP;
    if (w->results->hiddens) s.kinds[s.n_kinds++] = TERN_WANT_HIDDEN;
    if (!s.n_kinds && w->results->best) s.kinds[s.n_kinds++] = TERN_WANT_GREEDY;
    w->tokens = tokens;
    TN_TRY(tern_pool_create(&po, &pool, err));
    TernStatus st = tern_session_create(m, pool, &so, &s.session, err);
    if (st == TERN_OK) {
        s.rows = tn_xcalloc(n, sizeof *s.rows);
        st = all_steps(&s, info.max_rows, err);
        free(s.rows);
        tern_session_destroy(s.session);
    }
    tern_pool_destroy(pool);
    return st;
}
