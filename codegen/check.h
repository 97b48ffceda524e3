/* The differential check: does a graph still give the same results after it is compiled?
 *
 * The check takes a graph of stage model through the real pipeline (passes, signatures, a target's code) and runs it step
 * by step on inputs made from a seed. It compares every output and every cache bit for bit after every step with those
 * that ir/eval.h computes from the original graph. If something differs, it runs the steps again and evaluates the planned
 * graph beside the code. That finds the first wrong value: if the planned graph evaluates to something else, the passes
 * are wrong; otherwise one kernel's code is.
 *
 * The inputs ids pos slot rows hrows table are like those of the runtime (1 to 3 slots of 2 or 3 pages, the positions of
 * a slot rising from step to step). Caches hold random values before the first step. Any other f32 or i32 input is made
 * from its name, so that a piece cut out of a graph can be checked. Seeds with a remainder of 3 modulo 8 also draw
 * infinities, NaN, huge and tiny values. Weights may be `random` and `const`; `gguf` weights need TnWeights.
 *
 * Kernels run in the arena of the plan, which is filled with NaN before each step. Their units are cut into tiles at
 * random, the tiles run in random order, and the kernels between two barriers run forwards or backwards, since workers may
 * do all this. Writing past the end of the arena or the scratch counts as a difference. */
#ifndef TN_CHECK_GRAPH_H
#define TN_CHECK_GRAPH_H

#include "codegen/codegen.h"

/* One way of compiling. */
typedef struct TnCheckHow {
    const char *level;  /* "ref", or a level that this machine runs (the caller asks runtime/cpu.h) */
    const char *passes; /* for tn_passes_run, to stage planned; NULL: all of them */
    const char *family; /* of processors, as in TnPassCtx */
    bool apart;         /* first make every op a kernel of its own; the passes then begin after fuse */
    TnKv kv;
    int64_t rows_lo, rows_hi; /* the batch class; steps have this many rows */
    uint64_t
        settings; /* 0, or a number that picks other settings, such as tuning might choose (codegen/tune.h) */
} TnCheckHow;
/* The passes that remain for `apart`. */
#define TN_CHECK_PLAN "layout,tile,plan"

typedef struct TnDifference {
    uint32_t item, step; /* index of the item, number of the step */
    int64_t rows;
    char value[256], op[16], kernel[256]; /* kernel is empty if the passes are wrong */
    int64_t row, col;
    char want[48], got[48]; /* floats in hex with their bits, or integers */
    uint64_t distance; /* in units in the last place, or of integers; UINT64_MAX between NaN and a number */
    char text[1000];   /* all of this as one line */
} TnDifference;

/* Many graphs, compiled together. */
typedef struct TnCheck TnCheck;
TnCheck *tn_check_create(const TnWeights *w); /* NULL: no file */
void tn_check_destroy(TnCheck *c);
/* Plans a clone of g, which must verify, in that way; *item is its number, from 0. Fails if the passes refuse the graph or
 * a target has no code for it. */
TernStatus tn_check_add(TnCheck *c, const TnGraph *g, const TnCheckHow *how, uint32_t *item, TernError *err);
/* The same, but the expected results are those of `want`, a graph with the same inputs and outputs. */
TernStatus tn_check_add_as(TnCheck *c, const TnGraph *g, const TnGraph *want, const TnCheckHow *how,
                           uint32_t *item, TernError *err);
/* Makes the code of all items added so far. Equal kernels are made once. */
TernStatus tn_check_build(TnCheck *c, TernError *err);
/* The planned graph of an item. */
const TnGraph *tn_check_planned(const TnCheck *c, uint32_t item);
/* The steps of a run: n steps, step i with rows[i] rows. The same seed gives the same inputs. */
typedef struct TnCheckSteps {
    uint64_t seed;
    const int64_t *rows;
    uint32_t n;
} TnCheckSteps;
/* Runs the steps on every item. The items must stem from one graph and one kv. Sets *same to whether everything was equal;
 * if not, *out is the first difference. Fails if a weight cannot be read: the passes may have wrapped it in more operations
 * than may be nested. */
TernStatus tn_check_run(TnCheck *c, const uint32_t *items, uint32_t n_items, const TnCheckSteps *steps,
                        bool *same, TnDifference *out, TernError *err);

/* Does all of this for one graph and one way. On TERN_OK *same is the result; on failure the graph could not be compiled. */
TernStatus tn_check_graph(const TnGraph *g, const TnWeights *w, const TnCheckHow *how,
                          const TnCheckSteps *steps, bool *same, TnDifference *out, TernError *err);

/* ---- check_step.c: the inputs of a run, the same for all graphs that are compared. */
enum { TN_STEP_SLOTS = 3, TN_STEP_PAGES = 3 };
typedef struct TnStep {
    uint64_t seed, state;
    int64_t max[TN_SYM_COUNT]; /* over all steps */
    int64_t sym[TN_SYM_COUNT]; /* of this step */
    int64_t cap;               /* rows that pos and slot have room for */
    int32_t *pos, *slot;
    int32_t table[TN_STEP_SLOTS * TN_STEP_PAGES], used[TN_STEP_SLOTS];
    uint32_t number;
} TnStep;
void tn_step_open(TnStep *s, uint64_t seed, int64_t most_rows);
void tn_step_next(TnStep *s, int64_t rows);
void tn_step_close(TnStep *s);
/* A random number below n, from the run's own generator. */
uint64_t tn_step_pick(TnStep *s, uint64_t n);
/* Writes the value of input node `r` for this step (with `first`: of a cache before the first step), in the layout of
 * type_layout.h. */
void tn_step_fill(const TnStep *s, const TnGraph *g, TnRef r, bool first, void *data);

#endif
