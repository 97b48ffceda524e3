/* The differential check: does a graph, compiled, still give what it said before it was compiled?
 *
 * A graph of stage model goes through the real pipeline (passes, signatures, a target's code) and is run step by
 * step on inputs made from a seed; ir/eval.h on the graph as it came says what must come out. Every output and
 * every cache is compared bit for bit after every step. When something differs, the steps are run again with the
 * evaluator on the planned graph beside, so that the first wrong value is named: of the passes, if the planned
 * graph evaluates to something else, or of one kernel's code.
 *
 * The inputs: ids pos slot rows hrows table as the runtime would give them (1 to 3 slots of 2 or 3 pages, the
 * positions of a slot rising from step to step), caches filled with random values before the first step, and any
 * other f32 or i32 input too, from its name, so that a cut-out piece of a graph can be checked; seeds that leave 3 when
 * divided by 8 draw infinities, NaN, huge and tiny values as well. Weights may be
 * `random` and `const`; for `gguf` ones pass TnWeights.
 *
 * Kernels are run in the arena of the plan, which is filled with NaN before each step; their units are cut into
 * tiles at random, which run in random order, and kernels between two barriers run in either order: that is
 * what workers do. Writing behind the arena or the scratch counts as a difference. */
#ifndef TN_CHECK_GRAPH_H
#define TN_CHECK_GRAPH_H

#include "codegen/codegen.h"

/* One way of compiling. */
typedef struct TnCheckHow {
    const char *level;  /* "ref", or a level that this machine runs (the caller asks runtime/cpu.h) */
    const char *passes; /* for tn_passes_run, to stage planned; NULL: all of them */
    bool apart;         /* every op is made a kernel of its own first; passes then begin behind fuse */
    TnKv kv;
    int64_t rows_lo, rows_hi; /* the batch class; steps have so many rows */
    uint64_t
        settings; /* 0, or of what tuning chooses (codegen/tune.h) something else, picked by this number */
} TnCheckHow;
/* What is left to do for `apart`. */
#define TN_CHECK_PLAN "layout,tile,plan"

typedef struct TnDifference {
    uint32_t item, step; /* which of the items, in which step */
    int64_t rows;
    char value[256], op[16], kernel[256]; /* kernel is empty if the passes did it */
    int64_t row, col;
    char want[48], got[48]; /* floats in hex with their bits, or integers */
    uint64_t distance; /* in units in the last place, or as integers; UINT64_MAX for NaN against a number */
    char text[1000];   /* all that as one line */
} TnDifference;

/* Many graphs, compiled together. */
typedef struct TnCheck TnCheck;
TnCheck *tn_check_create(const TnWeights *w); /* NULL: no file */
void tn_check_destroy(TnCheck *c);
/* Plans g (cloned; it must verify) in that way; *item is its number, from 0. Fails if the passes refuse it or a
 * target has no code for it. */
TernStatus tn_check_add(TnCheck *c, const TnGraph *g, const TnCheckHow *how, uint32_t *item, TernError *err);
/* The same, but what must come out is what `want` says, a graph with the same inputs and outputs. */
TernStatus tn_check_add_as(TnCheck *c, const TnGraph *g, const TnGraph *want, const TnCheckHow *how,
                           uint32_t *item, TernError *err);
/* Makes the code of all items added so far, each different kernel once. */
TernStatus tn_check_build(TnCheck *c, TernError *err);
/* The planned graph of an item. */
const TnGraph *tn_check_planned(const TnCheck *c, uint32_t item);
/* The steps of a run: n, of rows[i] rows each. The same seed gives the same inputs. */
typedef struct TnCheckSteps {
    uint64_t seed;
    const int64_t *rows;
    uint32_t n;
} TnCheckSteps;
/* Runs the steps on every one of the items, which must stem from one graph and one kv. *same: whether everything was equal, else *out is the first difference. Fails where a
 * weight cannot be read, which passes may have wrapped in one operation more than may be nested. */
TernStatus tn_check_run(TnCheck *c, const uint32_t *items, uint32_t n_items, const TnCheckSteps *steps,
                        bool *same, TnDifference *out, TernError *err);

/* All of it for one graph and one way. TERN_OK: *same says how it went; else the graph could not be compiled. */
TernStatus tn_check_graph(const TnGraph *g, const TnWeights *w, const TnCheckHow *how,
                          const TnCheckSteps *steps, bool *same, TnDifference *out, TernError *err);

/* ---- check_step.c: the inputs of a run, shared by what is compared. */
enum { TN_STEP_SLOTS = 3, TN_STEP_PAGES = 3 };
typedef struct TnStep {
    uint64_t seed, state;
    int64_t max[TN_SYM_COUNT]; /* over all steps */
    int64_t sym[TN_SYM_COUNT]; /* of this step */
    int64_t cap;               /* rows there is room for */
    int32_t *pos, *slot;
    int32_t table[TN_STEP_SLOTS * TN_STEP_PAGES], used[TN_STEP_SLOTS];
    uint32_t number;
} TnStep;
void tn_step_open(TnStep *s, uint64_t seed, int64_t most_rows);
void tn_step_next(TnStep *s, int64_t rows);
void tn_step_close(TnStep *s);
/* A number below n, from the run's own generator. */
uint64_t tn_step_pick(TnStep *s, uint64_t n);
/* Writes the input node `r` of the step (or, with first, a cache before the first one), as type_layout.h has it. */
void tn_step_fill(const TnStep *s, const TnGraph *g, TnRef r, bool first, void *data);

#endif
