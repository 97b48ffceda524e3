/* A blob describes what it runs twice: as programs (PROG, PLAN) for the runtime, and as text (TIR) for all
 * other uses. This file builds the programs again from the text, as the compiler did, and compares them with
 * those in the blob. Otherwise verify could evaluate one graph while the runtime runs another. */
#include <stdlib.h>
#include <string.h>
#include "codegen/weights_store.h"
#include "frontends/tools/verify.h"

typedef struct Check {
    const TernModel *m;
    TnBuf *text;
    uint32_t index;
    bool same;
} Check;

#define DIFFERS(c, ...)                                                                                      \
    do {                                                                                                     \
        if ((c)->same) {                                                                                     \
            tn_buf_printf((c)->text, "different: program %u of the file and its text: ", (c)->index);        \
            tn_buf_printf((c)->text, __VA_ARGS__);                                                           \
            tn_buf_puts((c)->text, "\n");                                                                    \
        }                                                                                                    \
        (c)->same = false;                                                                                   \
    } while (0)

static const char *space_name(uint32_t space) {
    static const char *const names[] = {"the arena", "the weights", "the inputs", "the keys", "the values"};
    return space < TN_COUNT(names) ? names[space] : "nowhere";
}

static bool code_shares(const TnGraph *g) {
    const TnLevelRow *row = tn_level_numbered(tn_level_number(g->level));
    return row && row->arch == TN_ARCH_PTX;
}

static void hold_launch(Check *c, const TnGraph *g, uint32_t i, const TnBlobLaunch *a, const TnBlobLaunch *b,
                        const TnBlobOperand *of_a, const TnBlobOperand *of_b) {
    const char *name = g->kernels[i].name;
    if (a->n_operands != b->n_operands || a->n_reads != b->n_reads || a->first_operand != b->first_operand) {
        DIFFERS(c, "launch %u (%s) has %u operands, %u read; expected %u and %u", i, name, a->n_operands,
                a->n_reads, b->n_operands, b->n_reads);
        return;
    }
    if (a->units != b->units || a->unit_sym != b->unit_sym || a->gate_sym != b->gate_sym ||
        ((a->flags ^ b->flags) & TN_LAUNCH_BARRIER))
        DIFFERS(c, "launch %u (%s) has %llu units, symbols %d and %d, flags %u; expected %llu, %d, %d and %u",
                i, name, (unsigned long long)a->units, (int)a->unit_sym, (int)a->gate_sym, a->flags,
                (unsigned long long)b->units, (int)b->unit_sym, (int)b->gate_sym, b->flags);
    /* what the units of a GPU share is in the code alone */
    if (!code_shares(g) && (a->threads || a->shared || a->block))
        DIFFERS(c, "launch %u (%s) has %u threads sharing %u bytes, blocks of %u rows, expected none", i,
                name, a->threads, a->shared, a->block);
    TnRef ops[64];
    uint32_t n_in;
    (void)tn_kernel_operands(g, i, ops, &n_in);
    for (uint32_t k = 0; k < a->n_operands; k++) {
        const TnBlobOperand *x = &of_a[a->first_operand + k], *y = &of_b[b->first_operand + k];
        if (x->space == y->space && x->index == y->index && x->offset == y->offset &&
            x->row_bytes == y->row_bytes)
            continue;
        DIFFERS(c, "launch %u (%s): %s lies in %s at %llu, expected %s at %llu", i, name,
                g->nodes[ops[k]].name, space_name(x->space), (unsigned long long)x->offset,
                space_name(y->space), (unsigned long long)y->offset);
    }
}

static void hold(Check *c, const TnGraph *g, const TnBuf *prog, const TnBuf *plan) {
    size_t n, n_plan;
    const uint8_t *file = tern_model_section(c->m, TN_SECTION_PROG, c->index, &n);
    const uint8_t *file_plan = tern_model_section(c->m, TN_SECTION_PLAN, c->index, &n_plan);
    TnBlobProg a, b;
    TnBlobPlan p, q;
    if (!file || !file_plan || n < sizeof a || n_plan < sizeof p) {
        DIFFERS(c, "the file has no such program");
        return;
    }
    memcpy(&a, file, sizeof a);
    memcpy(&b, prog->data, sizeof b);
    memcpy(&p, file_plan, sizeof p);
    memcpy(&q, plan->data, sizeof q);
    if (a.level != b.level || a.kv != b.kv || a.rows_lo != b.rows_lo || a.rows_hi != b.rows_hi)
        DIFFERS(c, "it is for level %u, kv %u, rows %u..%u; expected %u, %u, %u..%u", a.level, a.kv,
                a.rows_lo, a.rows_hi, b.level, b.kv, b.rows_lo, b.rows_hi);
    if (a.n_launches != b.n_launches || a.n_operands != b.n_operands) {
        DIFFERS(c, "it has %u launches with %u operands, expected %u with %u", a.n_launches, a.n_operands,
                b.n_launches, b.n_operands);
        return;
    }
    /* opening the blob has checked that the section holds them */
    size_t launches = sizeof a, operands = launches + a.n_launches * sizeof(TnBlobLaunch);
    TN_CHECK(n >= operands + a.n_operands * sizeof(TnBlobOperand));
    TnBlobLaunch *la = tn_xcalloc(a.n_launches + 1, sizeof *la),
                 *lb = tn_xcalloc(a.n_launches + 1, sizeof *lb);
    TnBlobOperand *oa = tn_xcalloc(a.n_operands + 1, sizeof *oa),
                  *ob = tn_xcalloc(a.n_operands + 1, sizeof *ob);
    memcpy(la, file + launches, a.n_launches * sizeof *la);
    memcpy(lb, prog->data + launches, a.n_launches * sizeof *lb);
    memcpy(oa, file + operands, a.n_operands * sizeof *oa);
    memcpy(ob, prog->data + operands, a.n_operands * sizeof *ob);
    for (uint32_t i = 0; i < a.n_launches; i++) hold_launch(c, g, i, &la[i], &lb[i], oa, ob);
    free(la);
    free(lb);
    free(oa);
    free(ob);
    if (memcmp(a.output, b.output, sizeof a.output) != 0) DIFFERS(c, "its outputs are different operands");
    p.scratch = q.scratch = p.scratch_page = q.scratch_page = 0;
    if (memcmp(&p, &q, sizeof p) != 0) DIFFERS(c, "the sizes in the plan are not those of the text's values");
}

TernStatus tn_blob_check_text(const TernModel *m, TnGraph *const *graphs, uint32_t n, bool *same, TnBuf *text,
                              TernError *err) {
    Check c = {.m = m, .text = text, .same = true};
    TnWeightStore store = {0};
    TernStatus st = TERN_OK;
    size_t bytes;
    for (uint32_t i = 0; i < n && st == TERN_OK && c.same; i++) {
        TnBuf prog = {0}, plan = {0};
        c.index = i;
        if (graphs[i]->stage != TN_STAGE_PLANNED || tn_level_number(graphs[i]->level) == UINT32_MAX)
            DIFFERS(&c, "the graph is not planned for a level");
        else
            st = tn_program_build(graphs[i], &(TnProgramCode){.level = tn_level_number(graphs[i]->level)},
                                  &store, &prog, &plan, err);
        if (st == TERN_OK && c.same) hold(&c, graphs[i], &prog, &plan);
        tn_buf_free(&prog);
        tn_buf_free(&plan);
    }
    c.index = n;
    if (st == TERN_OK && c.same && tern_model_section(m, TN_SECTION_PROG, n, &bytes))
        DIFFERS(&c, "the text has no graph for it");
    tn_store_free(&store);
    *same = c.same;
    return st;
}
