/* Code generation: planned graphs in, one blob out.
 *
 * A target is one const struct. "Not supported" is an answer (score 0), not an error; the driver takes the
 * best score kernel by kernel. JIT is AOT to memory: the same bytes are mapped at once or stored. */
#ifndef TN_CODEGEN_H
#define TN_CODEGEN_H

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

/* How to show the code of a level: LLVM IR or assembly as text, or an ELF object. */
typedef enum TnShow { TN_SHOW_LLVM, TN_SHOW_ASM, TN_SHOW_OBJ } TnShow;

/* Progress; return nonzero to cancel. done and total are in whatever the phase counts. */
typedef int TnProgressFn(void *user, const char *phase, uint64_t done, uint64_t total);

typedef struct TnFlat TnFlat;

typedef struct TnTarget {
    TnTargetDesc desc;
    /* Appends a relocation-free image to *image (64-aligned) and fills the jobs; NULL for ref. */
    TernStatus (*emit)(TnEmitJob *jobs, uint32_t n, const char *level, TnBuf *image, TnProgressFn *progress,
                       void *user, TernError *err);
    /* The same jobs as one listing or object, appended to *out; NULL for ref. */
    TernStatus (*show)(TnEmitJob *jobs, uint32_t n, const char *level, TnShow what, TnBuf *out,
                       TernError *err);
    /* Code made elsewhere that the jobs call by name, appended to *image, each once, and named in *given; NULL: none. */
    TernStatus (*given)(const TnEmitJob *jobs, uint32_t n, const char *level, TnBuf *image, TnFlat *given,
                        TernError *err);
    /* What it was asked for on a level and had to refuse because its code failed a test or could not be tested here:
     * one line, valid for as long as the process. NULL: nothing so far, or the target tests nothing. */
    const char *(*refused)(const char *level);
} TnTarget;

extern const TnTarget tn_target_ref;
#ifdef TERN_LLVM
extern const TnTarget tn_target_llvm;
#endif
#ifdef TERN_XSMM
extern const TnTarget tn_target_xsmm;
#endif
/* By name; NULL if this build has none such. */
const TnTarget *tn_target_find(const char *name);
/* The targets a level may use, best liked first (for TnPassCtx): every one that makes code, or ref alone. Returns
 * how many, 0 if this build has no code generator for it. */
enum { TN_TARGETS_MAX = 4 };
uint32_t tn_targets_for(const char *level, const TnTargetDesc *out[TN_TARGETS_MAX]);
/* The same for passes that need not end in code: where nobody makes any, those that make none are asked. */
uint32_t tn_targets_asked(const char *level, const TnTargetDesc *out[TN_TARGETS_MAX]);
/* The names in this build: "llvm and ref". */
const char *tn_target_names(void);

/* A kernel's canonical text: what its code depends on and nothing else. No weight names, no scale values, no
 * arena offsets, no kernel or value names; the level; the row class only where axis=cols (an emitter of an
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

/* ---- compile.c */
typedef struct TnCompileOptions {
    const char *const *levels; /* "avx2" ... or "ref" */
    uint32_t n_levels;
    uint32_t context;  /* largest context, 0: the model's */
    uint32_t max_rows; /* top of the last row class; default TN_ROWS_DEFAULT */
    uint32_t kvs;      /* cache types to make variants for, 1u << TnKv each; 0: all */
    TnEnc head;        /* as in TnPassCtx */
    const char *
        target; /* NULL: best score; "llvm", "ref": that target for every kernel, or an error naming the kernel;
                    "xsmm": whatever it can do, the rest by llvm, or an error if that is nothing */
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

/* The same as far as the code of the first level, which must have some; shown, appended to *out. */
TernStatus tn_compile_show(const TnGraph *model, const TnWeights *weights, const TnFacts *facts,
                           const TnCompileOptions *options, TnShow what, TnBuf *out, TernError *err);

/* ---- ref/ref.c: `--target ref` on a blob: kernels evaluated from its embedded TIR. *out_kernels is passed
 * to tern_model_open as TernModelOptions.kernels (declared opaquely here: codegen knows runtime/abi, not
 * tern.h). */
typedef struct TnRefKernels TnRefKernels;
TernStatus tn_ref_create(const char *tir, size_t n, TnRefKernels **out, TernError *err);
void tn_ref_destroy(void *ref);
size_t tn_ref_scratch(void *ref, uint32_t variant, uint32_t launch, const int64_t *sym_max);
void tn_ref_run(void *ref, uint32_t variant, uint32_t launch, const void *launch_args, void *scratch);

#endif
