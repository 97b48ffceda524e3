/* Code generation: planned graphs in, one blob out.
 *
 * A target is one const struct. "Not supported" is an answer (score 0), not an error; for each kernel the driver takes
 * the target with the best score, and one that was named (--target) before all others. JIT is AOT to memory: the same bytes are
 * mapped instead of stored. */
#ifndef TN_CODEGEN_H
#define TN_CODEGEN_H

#include "codegen/targets.h"
#include "ir/eval.h"
#include "ir/facts.h"
#include "passes/passes.h"
#include "runtime/abi/blob.h"
#include "runtime/abi/kernel.h"

/* A kernel to emit. Equal kernels (tn_kernel_signature) are emitted once. */
typedef struct TnEmitJob {
    const TnGraph *g;
    uint32_t kernel;
    const char *symbol; /* the entry's name in the object: [A-Za-z0-9_]+ */
    /* filled by emit */
    uint64_t entry;                  /* offset in the image */
    uint64_t scratch, scratch_page;  /* bytes a worker needs: scratch + scratch_page * P */
    uint32_t threads, shared, block; /* of a unit, as in TnBlobLaunch; CPU targets leave them 0 */
    bool lists;                      /* TN_LAUNCH_LISTS */
    const char *note;                /* lines to print above it in a listing; may be NULL */
} TnEmitJob;

/* Reports progress; returns nonzero to cancel. done and total are in units of the phase. */
typedef int TnProgressFn(void *user, const char *phase, uint64_t done, uint64_t total);

typedef struct TnFlat TnFlat;

/* A maker of code. With its row in targets.def this is all that the compile driver, the tools and the program know of a
 * target; none of them has a case for a target by name. */
typedef struct TnTarget {
    TnTargetDesc desc;
    /* Whether it makes code for a level. For a target without code: whether it evaluates the level's kernels. */
    bool (*has)(const char *level);
    /* The section for its image: TN_SECTION_CODE, mapped executable, or TN_SECTION_PTXT, text; 0: it makes no image. The
     * targets of a level share one image. */
    uint32_t section;
    /* Appends a relocation-free image to *image (64-aligned) and fills the jobs; NULL: it makes no code. */
    TernStatus (*emit)(TnEmitJob *jobs, uint32_t n, const char *level, TnBuf *image, TnProgressFn *progress,
                       void *user, TernError *err);
    /* Appends the same jobs to *out as one listing or object. `kind` is named by some row's `listings`; a kind that is not
     * in the target's own row is refused. *image and *given are what `given` of all the jobs' targets has made. NULL: it
     * makes no code. Targets of one level have the same `show`. */
    TernStatus (*show)(TnEmitJob *jobs, uint32_t n, const char *level, const char *kind, const TnBuf *image,
                       const TnFlat *given, TnBuf *out, TernError *err);
    /* Appends code made elsewhere that the jobs call by name to *image, each piece once, and names it in *given. NULL: there
     * is none. */
    TernStatus (*given)(const TnEmitJob *jobs, uint32_t n, const char *level, TnBuf *image, TnFlat *given,
                        TernError *err);
    /* What the target refused on a level because its code failed a test or could not be tested here: one line, valid until
     * the process ends. Returns NULL if it has refused nothing so far; the hook is NULL if the target tests nothing. */
    const char *(*refused)(const char *level);
} TnTarget;

#define TARGET(name, ...) extern const TnTarget tn_target_##name;
#include "codegen/targets.def"
#undef TARGET
/* Finds a target by name, which may be NULL. Returns NULL if this build has no such target. */
const TnTarget *tn_target_find(const char *name);
/* The targets that make a level's kernels (for TnPassCtx). If `first` is NULL: those that have the level and make all kernels,
 * or none. Otherwise `first` alone, or, if it makes only some, `first` before those. Returns their number, 0 if there is
 * none. */
enum { TN_TARGETS_MAX = TN_TARGET_COUNT };
uint32_t tn_targets_for(const char *level, const char *first, const TnTargetDesc *out[TN_TARGETS_MAX]);
/* The same without `first`, for passes that need not end in code. If there is none, the targets that make no code. */
uint32_t tn_targets_asked(const char *level, const TnTargetDesc *out[TN_TARGETS_MAX]);
/* The levels for which a target is compiled by default, separated by commas: those of the list `liked` that it has, or, if it
 * has none of them, all its levels. Returns `liked` if name is NULL or unknown. */
const char *tn_target_levels(const char *name, const char *liked, TnArena *arena);
/* Calls TnTargetDesc.dot_of of the target of the product's kernel; itself a TnDotOf. */
bool tn_target_dot(const TnGraph *g, TnRef product, TnDot *out);

/* Appends a kernel's canonical text: everything that its code depends on and nothing else. Equal texts mean equal code. The
 * text has the level, but no weight names, scale values, arena offsets, kernel names or value names. It has the batch class
 * only for axis=cols; the emitter of an axis=rows kernel must not look at it. */
void tn_kernel_signature(const TnGraph *g, uint32_t kernel, TnBuf *out);

/* ---- program.c: the symbols of a kernel's launch, or UINT32_MAX each (TnBlobLaunch.gate_sym and unit_sym). */
typedef struct TnLaunchSyms {
    uint32_t gate; /* the launch has nothing to do if this symbol is not above 0 */
    uint32_t unit; /* its number of units is `units` times this symbol; if there is none, `units` alone */
    uint64_t units;
} TnLaunchSyms;
TnLaunchSyms tn_launch_syms(const TnGraph *g, uint32_t kernel);

/* ---- flatten.c: makes one position-independent image of an ELF64 relocatable object (x86-64 or aarch64). Refuses
 * writable sections, undefined symbols and unknown relocations, by name. Appends to *image (64-aligned). `given` (may
 * be NULL) holds symbols of code that is in *image already; the object may use them without defining them. */
typedef struct TnFlatSymbol {
    char *name;
    uint64_t offset; /* in *image */
} TnFlatSymbol;
struct TnFlat {
    TnFlatSymbol *symbols;
    size_t n, cap;
};
TernStatus tn_flatten(const void *object, size_t n, const TnFlat *given, TnBuf *image, TnFlat *out,
                      TernError *err);
void tn_flat_free(TnFlat *f);

/* ---- lower.c: the passes of tn_compile, for callers that need the graphs but no code */
/* Runs the first half, once a model. weights: of the model file, for prune; may be NULL. */
TernStatus tn_lower_model(TnGraph *g, const TnWeights *weights, TnEnc head, TernError *err);
/* Runs the second half for every cache type of kvs (1u << TnKv each) and batch class, in this order, each time on a clone of
 * `model`, which has had the first half. level: its name, targets and head. Passes each result to `take`, which owns it
 * from then on. Stops at the first failure of `take`. */
typedef TernStatus TnLoweredFn(void *user, TnGraph *g, TernError *err);
TernStatus tn_lower_level(const TnGraph *model, const TnPassCtx *level, const TnBatchClass *classes,
                          uint32_t n_classes, uint32_t kvs, TnLoweredFn *take, void *user, TernError *err);
/* Sets ctx->beside, ctx->whole and ctx->base3 as for a blob of these n levels, from ctx->family and ctx->first. All levels
 * must suit b64 and base 3; rows are read whole if one asks for it, since on a processor of the family that level runs.
 * Returns what base 3 is to the level that has least of it. */
TnMerit tn_levels_suit(TnPassCtx *ctx, const char *const *levels, uint32_t n);
/* Runs the passes that a graph still needs to reach `stage`, for that variant, whose targets are set here, to those of
 * tn_targets_asked. variant->weights as above. */
TernStatus tn_graph_lower(TnGraph *g, TnStage stage, const TnPassCtx *variant, TernError *err);

/* ---- compile.c */
typedef struct TnCompileOptions {
    const char *const *levels; /* "avx2" ... or "ref" */
    uint32_t n_levels;
    const char *family; /* of processors, as in TnPassCtx */
    uint32_t context;   /* largest context, 0: the model's */
    uint32_t max_rows;  /* top of the last batch class; default TN_ROWS_DEFAULT */
    uint32_t kvs;       /* cache types to make variants for, 1u << TnKv each; 0: all */
    TnEnc head;         /* as in TnPassCtx */
    /* NULL: the target that makes all kernels of the level. A target for all kernels makes every kernel, and a kernel that it
     * cannot make is an error that names it. A target for some kernels makes those that it can, the others make the rest, and
     * it is an error if it can make none. */
    const char *target;
    /* codegen/tune.h: settings for kernels of some shapes, and tuning. NULL: kernels keep the settings of the passes, which
     * are the same on every machine. */
    const struct TnTuneTable *settings;
    const struct TnTuneOptions *tune;
    TnProgressFn *progress; /* may be NULL */
    void *user;
} TnCompileOptions;

typedef struct TnCompileReport {
    uint64_t file_bytes, weight_bytes, code_bytes, meta_bytes, tir_bytes;
    uint32_t n_variants, n_kernels,
        n_unique; /* kernels in all variants; different kernels, which were emitted */
    double seconds_passes, seconds_tune, seconds_codegen, seconds_weights;
    const char *refused; /* a line of TnTarget.refused, or NULL */
} TnCompileReport;

/* A file that holds a blob among other things: `around` appends what comes before and after a blob of that many bytes. */
typedef struct TnBlobWrap {
    void *user;
    void (*around)(void *user, uint64_t bytes, TnBuf *before, TnBuf *after);
    bool executable; /* the file is a program */
} TnBlobWrap;

/* Where a blob goes: to a file (AOT) or to memory (JIT: *memory is from tn_os_map, *bytes long). Set exactly one of path
 * and memory. */
typedef struct TnBlobDest {
    const char *path;
    const struct TnBlobWrap *wrap; /* path: what is written around the blob; NULL: nothing */
    void **memory;
    size_t *bytes;
} TnBlobDest;

/* Compiles a model-stage graph, which it does not change, to a blob with one variant for each level, cache type of
 * options->kvs and batch class (usually 1 | 2..8 | 9..max_rows). */
TernStatus tn_compile(const TnGraph *model, const TnWeights *weights, const TnFacts *facts,
                      const TnCompileOptions *options, const TnBlobDest *dest, TnCompileReport *report,
                      TernError *err);

/* Does the same up to the code of the first level, and appends that code to *out as TnTarget.show prints it. The level must
 * have code. */
TernStatus tn_compile_show(const TnGraph *model, const TnWeights *weights, const TnFacts *facts,
                           const TnCompileOptions *options, const char *kind, TnBuf *out, TernError *err);

/* ---- ref/ref.c: evaluates the kernels of a blob from the TIR in it. The caller makes TernModelOptions.kernels for
 * tern_model_open of these functions; codegen knows runtime/abi, but not tern.h. */
typedef struct TnRefKernels TnRefKernels;
TernStatus tn_ref_create(const char *tir, size_t n, TnRefKernels **out, TernError *err);
void tn_ref_destroy(void *ref);
size_t tn_ref_scratch(void *ref, uint32_t variant, uint32_t launch, const int64_t *sym_max);
void tn_ref_run(void *ref, uint32_t variant, uint32_t launch, const void *launch_args, void *scratch);

#endif
