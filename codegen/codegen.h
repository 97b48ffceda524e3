/* Code generation: planned graphs in, one blob out.
 *
 * A target is one const struct. "Not supported" is an answer (score 0), not an error; the driver takes the
 * best score kernel by kernel. JIT is AOT to memory: the same bytes are mapped at once or stored. */
#ifndef TN_CODEGEN_H
#define TN_CODEGEN_H

#include "codegen/targets.h"
#include "ir/eval.h"
#include "ir/facts.h"
#include "passes/passes.h"
#include "runtime/abi/blob.h"
#include "runtime/abi/kernel.h"

/* One kernel to be emitted; equal kernels (tn_kernel_signature) are emitted once. */
typedef struct TnEmitJob {
    const TnGraph *g;
    uint32_t kernel;
    const char *symbol; /* the entry's name in the object: [A-Za-z0-9_]+ */
    /* filled by emit */
    uint64_t entry;                 /* offset in the image */
    uint64_t scratch, scratch_page; /* bytes a worker needs: scratch + scratch_page * P */
    uint32_t threads, shared;       /* as in TnBlobLaunch: of a unit; left 0 by targets for processors */
    const char *note;               /* lines to stand above it in a listing; may be NULL */
} TnEmitJob;

/* Progress; return nonzero to cancel. done and total are in whatever the phase counts. */
typedef int TnProgressFn(void *user, const char *phase, uint64_t done, uint64_t total);

typedef struct TnFlat TnFlat;

/* One who makes code, beside its row of targets.def. All that the compile driver, the tools and the program ask of a target
 * is here or there: none has a case for one by name. */
typedef struct TnTarget {
    TnTargetDesc desc;
    /* Whether it makes code for a level, or, where it makes none, evaluates that level's kernels. */
    bool (*has)(const char *level);
    /* What its image is: TN_SECTION_CODE, mapped executable, or TN_SECTION_PTXT, text; 0: it makes none. The targets of a
     * level share one image. */
    uint32_t section;
    /* Appends a relocation-free image to *image (64-aligned) and fills the jobs; NULL: it makes no code. */
    TernStatus (*emit)(TnEmitJob *jobs, uint32_t n, const char *level, TnBuf *image, TnProgressFn *progress,
                       void *user, TernError *err);
    /* The same jobs as one listing or object, of a kind that some row's `listings` names (others than its own are refused),
     * appended to *out; *image and *given: what `given` of all their targets has made. NULL: it makes no code. Targets of one
     * level share it. */
    TernStatus (*show)(TnEmitJob *jobs, uint32_t n, const char *level, const char *kind, const TnBuf *image,
                       const TnFlat *given, TnBuf *out, TernError *err);
    /* Code made elsewhere that the jobs call by name, appended to *image, each once, and named in *given; NULL: none. */
    TernStatus (*given)(const TnEmitJob *jobs, uint32_t n, const char *level, TnBuf *image, TnFlat *given,
                        TernError *err);
    /* What it was asked for on a level and had to refuse because its code failed a test or could not be tested here:
     * one line, valid for as long as the process. NULL: nothing so far, or the target tests nothing. */
    const char *(*refused)(const char *level);
} TnTarget;

#define TARGET(name, ...) extern const TnTarget tn_target_##name;
#include "codegen/targets.def"
#undef TARGET
/* By name (NULL is fine); NULL if this build has none such. */
const TnTarget *tn_target_find(const char *name);
/* The targets that make a level's kernels, best liked first (for TnPassCtx). `first` NULL: every one that has the level. Else
 * that one, alone or, if it does only some kernels, before those that do all. Returns how many, 0 if there is none. */
enum { TN_TARGETS_MAX = TN_TARGET_COUNT };
uint32_t tn_targets_for(const char *level, const char *first, const TnTargetDesc *out[TN_TARGETS_MAX]);
/* Every one for a level, for passes that need not end in code: where there is none, those that make no code are asked. */
uint32_t tn_targets_asked(const char *level, const TnTargetDesc *out[TN_TARGETS_MAX]);
/* A comma list of the levels that a target is compiled for by default: those of the list `liked` that it has, or, if it has
 * none of them, all that it has. `liked` if name is NULL or unknown. */
const char *tn_target_levels(const char *name, const char *liked, TnArena *arena);
/* TnTargetDesc.dot_of of the target that has the product's kernel; a TnDotOf. */
bool tn_target_dot(const TnGraph *g, TnRef product, TnDot *out);

/* A kernel's canonical text: what its code depends on and nothing else. No weight names, no scale values, no
 * arena offsets, no kernel or value names; the level; the batch class only where axis=cols (an emitter of an
 * axis=rows kernel must not look at it). Equal texts mean equal code. */
void tn_kernel_signature(const TnGraph *g, uint32_t kernel, TnBuf *out);

/* ---- flatten.c: an ELF64 relocatable object (x86-64 or aarch64) to one position-independent image. Refuses
 * writable sections, undefined symbols and unknown relocations, by name. Appends to *image (64-aligned). `given` (may
 * be NULL) are symbols of code that is in *image already: what the object may use without having it. */
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

/* ---- lower.c: the passes of tn_compile, for whoever needs their graphs and no code */
/* The first half, once a model. weights: of the model file, for prune; may be NULL. */
TernStatus tn_lower_model(TnGraph *g, const TnWeights *weights, TnEnc head, TernError *err);
/* The second half for every cache type of kvs (1u << TnKv each) and batch class, in this order, each on a clone of a graph
 * that has had the first half. level: its name, targets and head. `take` owns the graph that it gets; a failure of it
 * ends the walk. */
typedef TernStatus TnLoweredFn(void *user, TnGraph *g, TernError *err);
TernStatus tn_lower_level(const TnGraph *model, const TnPassCtx *level, const TnBatchClass *classes,
                          uint32_t n_classes, uint32_t kvs, TnLoweredFn *take, void *user, TernError *err);
/* The passes that a graph still lacks to be at `stage`, for that level, cache type and batch class, with the targets that
 * tn_targets_asked gives. weights as above. */
TernStatus tn_graph_lower(TnGraph *g, TnStage stage, const char *level, TnKv kv, int64_t rows_lo,
                          int64_t rows_hi, TnEnc head, const TnWeights *weights, TernError *err);

/* ---- compile.c */
typedef struct TnCompileOptions {
    const char *const *levels; /* "avx2" ... or "ref" */
    uint32_t n_levels;
    uint32_t context;  /* largest context, 0: the model's */
    uint32_t max_rows; /* top of the last batch class; default TN_ROWS_DEFAULT */
    uint32_t kvs;      /* cache types to make variants for, 1u << TnKv each; 0: all */
    TnEnc head;        /* as in TnPassCtx */
    /* NULL: best score. A target that does all kernels: it alone, or an error naming the kernel; one that does some: whatever
     * it can do, the rest by the others, or an error if that is nothing. */
    const char *target;
    /* codegen/tune.h: settings for kernels of some shapes, and tuning; NULL: kernels keep what the passes give them,
     * the same everywhere */
    const struct TnTuneTable *settings;
    const struct TnTuneOptions *tune;
    TnProgressFn *progress; /* may be NULL */
    void *user;
} TnCompileOptions;

typedef struct TnCompileReport {
    uint64_t file_bytes, weight_bytes, code_bytes, meta_bytes, tir_bytes;
    uint32_t n_variants, n_kernels, n_unique; /* kernels in all variants, and different ones emitted */
    double seconds_passes, seconds_tune, seconds_codegen, seconds_weights;
    const char *refused; /* a line of TnTarget.refused, or NULL */
} TnCompileReport;

/* Where a blob goes: a file (AOT) or memory (JIT: *memory is from tn_os_map, *bytes long). Exactly one of
 * path and memory. */
typedef struct TnBlobDest {
    const char *path;
    void **memory;
    size_t *bytes;
} TnBlobDest;

/* Compiles a model-stage graph (not changed) to a blob with one variant for each (level, kv of options->kvs, row
 * class 1 | 2..8 | 9..max_rows). */
TernStatus tn_compile(const TnGraph *model, const TnWeights *weights, const TnFacts *facts,
                      const TnCompileOptions *options, const TnBlobDest *dest, TnCompileReport *report,
                      TernError *err);

/* The same as far as the code of the first level, which must have some; shown as TnTarget.show does, appended to *out. */
TernStatus tn_compile_show(const TnGraph *model, const TnWeights *weights, const TnFacts *facts,
                           const TnCompileOptions *options, const char *kind, TnBuf *out, TernError *err);

/* ---- ref/ref.c: kernels evaluated from its embedded TIR. *out_kernels is passed
 * to tern_model_open as TernModelOptions.kernels (declared opaquely here: codegen knows runtime/abi, not
 * tern.h). */
typedef struct TnRefKernels TnRefKernels;
TernStatus tn_ref_create(const char *tir, size_t n, TnRefKernels **out, TernError *err);
void tn_ref_destroy(void *ref);
size_t tn_ref_scratch(void *ref, uint32_t variant, uint32_t launch, const int64_t *sym_max);
void tn_ref_run(void *ref, uint32_t variant, uint32_t launch, const void *launch_args, void *scratch);

#endif
