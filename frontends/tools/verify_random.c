/* Compares a graph's code with the evaluator on random inputs. `tern verify` does this with a text that is
 * not a whole model, and the reducer with each graph that it tries. The differential check (codegen/check.h)
 * makes the inputs from a seed and their names, so the same flags give the same run on any machine of that
 * level. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/tools/verify.h"

enum {
    SEEDS = 2,
    MORE = 4, /* a step has up to this many rows more than the least of its class */
    STEPS = 3,
    COPIES = 4 /* of all values: two evaluators', the planned graph's and the code's */
};

/* ---- soundness: computed indices could have any value, and memory is read by them */

static bool is_input(const TnGraph *g, TnRef r, const char *name) {
    const TnNode *n = &g->nodes[r];
    return n->op == TN_OP_input && (!name || strcmp(tn_attr_str(n, TN_ATTR_name), name) == 0);
}

/* Operand i must be the input of that name; any input if it is NULL. */
static TernStatus check_index(const TnGraph *g, const TnNode *n, uint32_t i, const char *name,
                              TernError *err) {
    if (is_input(g, n->args[i], name)) return TERN_OK;
    return tn_fail(
        err, TERN_ERR_INPUT,
        "%s:%u: %%%s: operand %u of %s is %%%s, expected an input%s%s%s for a run on random inputs", g->file,
        n->line, n->name, i + 1, tn_ops[n->op].name, g->nodes[n->args[i]].name, name ? " \"" : "",
        name ? name : "", name ? "\"" : "");
}

static TernStatus check_indices(const TnGraph *g, TnRef r, int64_t most, TernError *err) {
    const TnNode *n = &g->nodes[r];
    static const char *const names[] = {"pos", "slot", "table"};
    if (n->op == TN_OP_attend_blocks && tn_attr_int(n, TN_ATTR_n) < most)
        return tn_fail(err, TERN_ERR_INPUT, "%s:%u: %%%s: n is %lld, but a step has up to %lld rows", g->file,
                       n->line, n->name, (long long)tn_attr_int(n, TN_ATTR_n), (long long)most);
    if (tn_op_is(n->op, TN_TRAIT_INDEX1)) TN_TRY(check_index(g, n, 0, NULL, err));
    if (tn_op_is(n->op, TN_TRAIT_INDEX2)) TN_TRY(check_index(g, n, 1, NULL, err));
    for (uint32_t i = 0, at = tn_op_places(n->op); at && i < TN_COUNT(names); i++)
        TN_TRY(check_index(g, n, at + i, names[i], err));
    if (n->n_args < 2) return TERN_OK;
    const TnNode *ids = &g->nodes[n->args[1]];
    bool chosen = n->op == TN_OP_take
                      ? ids->op == TN_OP_input || (ids->op == TN_OP_topk && ids->args[0] == n->args[0])
                  : n->op == TN_OP_pick ? ids->op == TN_OP_rerank_top && ids->args[4] == n->args[2]
                                        : true;
    if (chosen) return TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT,
                   "%s:%u: %%%s: operand 2 of %s is %%%s, expected the best of the same operand", g->file,
                   n->line, n->name, tn_ops[n->op].name, ids->name);
}

/* pos, slot and table are filled as a session fills them. */
static TernStatus check_input(const TnGraph *g, TnRef r, TernError *err) {
    TnType rows = tn_type(TN_ENC_i32, 1, tn_sym_dim(TN_T)),
           table = tn_type(TN_ENC_i32, 2, tn_sym_dim(TN_S), tn_sym_dim(TN_P));
    bool is_table = is_input(g, r, "table");
    if (!is_table && !is_input(g, r, "pos") && !is_input(g, r, "slot")) return TERN_OK;
    if (tn_type_equal(&g->nodes[r].type, is_table ? &table : &rows)) return TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT,
                   "%s:%u: input \"%s\": type is %.100s, expected %s for a run on random inputs", g->file,
                   g->nodes[r].line, tn_attr_str(&g->nodes[r], TN_ATTR_name),
                   tn_type_text(&g->nodes[r].type).s, is_table ? "i32[S,P]" : "i32[T]");
}

/* Checks what the differential check assumes; it aborts if the evaluator cannot be made. */
static TernStatus check_sound(const TnGraph *g, const TnWeights *w, int64_t rows, TnEval **e,
                              TernError *err) {
    const int64_t sym[TN_SYM_COUNT] = {[TN_T] = rows,          [TN_R] = rows,
                                       [TN_K] = rows,          [TN_H] = rows,
                                       [TN_L] = rows,          [TN_S] = TN_STEP_SLOTS,
                                       [TN_P] = TN_STEP_PAGES, [TN_N] = TN_STEP_SLOTS * TN_STEP_PAGES};
    for (TnRef r = 0; r < g->n; r++) {
        TN_TRY(check_input(g, r, err));
        TN_TRY(check_indices(g, r, rows, err));
    }
    TN_TRY(tn_eval_fits(g, sym, COPIES, err));
    return tn_eval_create(g, w, sym, e, err);
}

/* ---- one run */

static int64_t most_rows(const TnRandom *how) {
    return how->rows_hi < how->rows_lo + MORE ? how->rows_hi : how->rows_lo + MORE;
}

TernStatus tn_random_run(const TnGraph *g, const TnWeights *w, const TnRandom *how, bool *same,
                         TnDifference *out, TernError *err) {
    TnCheckHow as = {.level = how->level, .kv = how->kv, .rows_lo = how->rows_lo, .rows_hi = how->rows_hi};
    int64_t most = most_rows(how);
    const int64_t rows[STEPS] = {most, how->rows_lo, most};
    return tn_check_graph(g, w, &as, &(TnCheckSteps){how->seed, rows, TN_COUNT(rows)}, same, out, err);
}

/* Checks the inputs of that run as indices of the ops that read them; their names say what they hold. */
static TernStatus check_steps(TnEval *e, const TnGraph *g, const TnRandom *how, TernError *err) {
    const int64_t rows[STEPS] = {most_rows(how), how->rows_lo, most_rows(how)};
    TernStatus st = TERN_OK;
    TnStep step;
    tn_step_open(&step, how->seed, rows[0]);
    for (int i = 0; i < STEPS && st == TERN_OK; i++) {
        tn_step_next(&step, rows[i]);
        for (TnRef r = 0; r < g->n; r++)
            if (g->nodes[r].op == TN_OP_input && g->nodes[r].type.enc == TN_ENC_i32)
                tn_step_fill(&step, g, r, false, tn_eval_data(e, r));
        st = tn_eval_check_inputs(e, step.sym, err);
    }
    tn_step_close(&step);
    return st;
}

bool tn_random_differs(const TnGraph *g, TnRandom *how) {
    for (how->seed = 1; how->seed <= SEEDS; how->seed++) {
        bool same = true;
        TnDifference d;
        TernError err;
        if (tn_random_run(g, NULL, how, &same, &d, &err) != TERN_OK) return false;
        if (!same) return true;
    }
    return false;
}

void tn_random_put_flags(const TnRandom *how, TnBuf *out) {
    tn_buf_printf(out, "--seed %llu --rows %lld..%lld --kv %s ", (unsigned long long)how->seed,
                  (long long)how->rows_lo, (long long)how->rows_hi, tn_kv_names[how->kv]);
    const TnTargetDesc *targets[TN_TARGETS_MAX];
    if (tn_level_has_code(how->level))
        tn_buf_printf(out, "--cpu %s", how->level);
    else if (tn_targets_for(how->level, NULL, targets) > 0)
        tn_buf_printf(out, "--target %s", targets[0]->name);
}

static void put_rows(int64_t lo, int64_t hi, TnBuf *out) {
    tn_buf_printf(out, lo == hi ? "%lld" : "%lld..%lld", (long long)lo, (long long)hi);
}

static void put_difference(const TnGraph *g, const TnRandom *how, const TnDifference *d, TnBuf *out) {
    uint32_t at = tn_map_get(&g->names, d->value, strlen(d->value));
    tn_buf_puts(out, "different: ");
    if (*d->kernel)
        tn_buf_printf(out, "kernel @%s", d->kernel);
    else
        tn_buf_puts(out, "the graph after the passes");
    tn_buf_printf(out, ", level %s, kv %s, rows ", how->level, tn_kv_names[how->kv]);
    put_rows(how->rows_lo, how->rows_hi, out);
    tn_buf_printf(out, ", seed %llu: step %u, of %lld row%s\n  value ", (unsigned long long)how->seed,
                  d->step + 1, (long long)d->rows, d->rows == 1 ? "" : "s");
    if (at == TN_MAP_NONE)
        tn_buf_printf(out, "%%%s = %s", d->value, d->op);
    else
        tn_print_node(g, at, out);
    tn_buf_printf(out, "\n  at       row %lld, column %lld\n  expected %s\n  got      %s", (long long)d->row,
                  (long long)d->col, d->want, d->got);
    if (d->distance != UINT64_MAX) tn_buf_printf(out, ", %llu apart", (unsigned long long)d->distance);
    tn_buf_puts(out, "\n");
}

/* ---- all runs */

TernStatus tn_random_verify(const TnGraph *g, const TnWeights *w, const char *level, const TnRandom *asked,
                            bool *same, TnRandom *out, TnBuf *text, TernError *err) {
    TnBatchClass classes[TN_BATCH_CLASSES], own = {asked->rows_lo, asked->rows_hi};
    const TnTargetDesc *targets[TN_TARGETS_MAX];
    uint32_t n_targets = tn_targets_asked(level, targets),
             n_classes = tn_batch_classes(targets, n_targets, level, TN_ROWS_DEFAULT, classes);
    const char *levels[] = {level, TN_LEVEL_REF_NAME};
    uint32_t n_levels = tn_level_has_code(level) ? 2 : 1, runs = 0;
    if (asked->rows_lo) {
        n_classes = 1;
        classes[0] = own;
    }
    uint64_t first = asked->seeded ? asked->seed : 1;
    uint32_t n_seeds = asked->seeded ? 1 : SEEDS;
    int64_t most =
        most_rows(&(TnRandom){.rows_lo = classes[n_classes - 1].lo, .rows_hi = classes[n_classes - 1].hi});
    if (most > TN_STEP_PAGES * TN_PAGE)
        return tn_fail(
            err, TERN_ERR_INPUT,
            "TerncVerify.rows_lo: got %lld..%lld, expected steps of at most %d rows on random inputs",
            (long long)asked->rows_lo, (long long)asked->rows_hi, TN_STEP_PAGES * TN_PAGE);
    TnEval *e = NULL;
    TernStatus st = check_sound(g, w, most, &e, err);
    *same = true;
    for (uint32_t l = 0; l < n_levels; l++)
        for (uint32_t c = 0; c < n_classes; c++)
            for (uint32_t i = 0; i < n_seeds && st == TERN_OK && *same; i++, runs++) {
                *out = (TnRandom){.level = levels[l], .kv = asked->kv, .seed = first + i};
                out->rows_lo = classes[c].lo;
                out->rows_hi = classes[c].hi;
                TnDifference d;
                st = check_steps(e, g, out, err);
                if (st == TERN_OK) st = tn_random_run(g, w, out, same, &d, err);
                if (st == TERN_OK && !*same) put_difference(g, out, &d, text);
            }
    tn_eval_destroy(e);
    if (st != TERN_OK || !*same) return st;
    tn_buf_printf(text, "%u run%s of 3 steps on random inputs equal: level %s%s, kv %s, rows ", runs,
                  runs == 1 ? "" : "s", level, n_levels > 1 ? " and ref" : "", tn_kv_names[asked->kv]);
    for (uint32_t c = 0; c < n_classes; c++) {
        if (c) tn_buf_puts(text, c + 1 == n_classes ? " and " : ", ");
        put_rows(classes[c].lo, classes[c].hi, text);
    }
    tn_buf_printf(text, ", seed%s %llu", n_seeds > 1 ? "s" : "", (unsigned long long)first);
    if (n_seeds > 1) tn_buf_printf(text, " and %u", SEEDS);
    tn_buf_puts(text, "\n");
    return TERN_OK;
}
