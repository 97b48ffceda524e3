/* Tern's tools: what looks at a model instead of running it. Texts are sent piece by piece to a function of the caller.
 *
 *   ternc_emit      the code of a level, as LLVM IR, assembly or an object
 *   ternc_opt       passes on a graph, step by step
 *   ternc_inspect   a file's metadata, tensors, sections and kernels
 *   ternc_eval      a graph evaluated on made-up inputs
 *   ternc_import    a report of a model file: who wrote it, what is inferred, what would run
 *   ternc_cost      bytes and multiply-adds of every launch
 *   ternc_diff      two files, compared graph by graph
 *   ternc_picture   a graph as dot, json or text
 *   ternc_verify    every launch's code against the evaluator, value by value
 *
 * They are in libternc, beside the compile calls, and keep the rules of ternc.h for errors, threads and option structs. */
#ifndef TERNC_TOOLS_H
#define TERNC_TOOLS_H

#include "ternc.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Receives a piece of text; `what` says which ("fuse", "result", "faults", ...). "note" is the line that TerncSource
 * describes, from calls that were given no source with a `note`. */
typedef void TerncTextFn(void *user, const char *what, const char *text, size_t size);
/* Compiles as far as the code of the first level, which is sent as what = "result". kind: what the targets of
 * that level bring, on a CPU "llvm" (IR), "asm" or "obj" (ELF). In the texts every kernel's .tir lines stand above its function. */
TERN_API TernStatus ternc_emit(const TerncSource *source, const TerncOptions *options, const char *kind,
                               TerncTextFn *text, void *user, TernError *err);

typedef struct TerncOpt {
    size_t size;
    const char *path; /* .tir, "-" (text on standard input), .tern, .gguf; NULL: the embedded model */
    const TerncSource *source; /* overrides for a .gguf; may be NULL */
    const char *passes;       /* comma list, "" for none, NULL for all that apply from the input's stage on */
    const char *dump_after;   /* comma list of passes whose result is sent to `text`, or "all"; with "changed"
                                 in it those alone that changed the text; may be NULL */
    const char *level, *head; /* default: this machine's best; as in TerncOptions */
    TernKv kv;                /* default f16 */
    uint32_t rows_lo, rows_hi; /* batch class; default 1..1 */
    int times;                 /* send a line "pass seconds" as what = "time" after each pass */
    const char *effort; /* what `passes` NULL means: "O0" fuse, layout, tile and plan alone, "O1" with fold,
                                  cse and dce before, "O2", "O3" or NULL everything; refused beside `passes` */
    int verify_each;    /* after each pass also read the printed text back and compare; sends a line as what =
                                  "verify". The verifier itself runs after every pass in any case. */
    int ranges; /* the result says at the end of a line, in a comment, what is known of integers (ir/range.h) */
    uint32_t variant; /* of an input with several graphs: the N-th from 1; 0: of a blob the first that is for
                                  level, kv and rows, as far as these are given */
} TerncOpt;
/* Runs passes on a graph; sends what = "result" with the text. A level, kv, batch class or head that no pass of the list takes,
 * or that is another than the graph has already, is refused. A faulty input text sends its messages as what
 * = "faults" (lines "file:line:col: ...") and returns TERN_ERR_INPUT. */
TERN_API TernStatus ternc_opt(const TerncOpt *opt, TerncTextFn *text, void *user, TernError *err);

/* Sends a description of a GGUF file or a blob: metadata, tensors, sections, kernels, memory plan. */
TERN_API TernStatus ternc_inspect(const char *path, TerncTextFn *text, void *user, TernError *err);

typedef struct TerncEval {
    size_t size;
    const char *path;    /* .tir, "-" (text), .gguf, .tern (whose weights have other names: they are missing);
                         NULL: the embedded model */
    const char *weights; /* a .gguf where `gguf` nodes find their tensors; may be NULL */
    uint32_t rows;       /* of a step, 1 to 64; default: as the graph says, else 2 */
    uint32_t variant;    /* of several graphs, from 0 */
} TerncEval;
/* Evaluates a graph on inputs made up by a rule (docs/ir.md states it) and sends its results as what = "result", a line a row:
 * for graphs made by hand. Faults as in ternc_opt. */
TERN_API TernStatus ternc_eval(const TerncEval *eval, TerncTextFn *text, void *user, TernError *err);

typedef struct TerncImport {
    size_t size;
    const TerncSource *source; /* a model file; NULL: the embedded model */
    int json;                  /* json instead of tables */
    int (*progress)(void *user, const char *phase, uint64_t done,
                    uint64_t total); /* nonzero cancels; may be NULL */
    void *user;
} TerncImport;
/* The import report of a model file, as what = "result": who wrote it as far as can be told, what Tern infers and from
 * what, what it ignores, statistics of every ternary matrix (all weights are read), memory at several precisions, and
 * which kernels this machine would run. A file that is sound but not supported gives a report that says why. */
TERN_API TernStatus ternc_import(const TerncImport *import, TerncTextFn *text, void *user, TernError *err);

/* What a call of a launch has to move and to multiply, from the planned graph in the model's TIR section. Bytes
 * count every operand once, as far as the call reads or writes it. The sums that a profile gives (tern.h:
 * TernProfileProgram) put in for the symbols and positions give the sums over all calls. */
typedef struct TerncCost {
    char name[64];         /* of the kernel; long ones are cut */
    char what[96];         /* "tmatmul p64[512,256]" */
    uint32_t group;        /* the first launch with the same code on the same shapes, maybe itself */
    uint64_t weight_bytes; /* a call: weights read whole */
    uint64_t
        table_bytes; /* of a table that launches read by rows alone (those are in sym_bytes), at the first of them */
    uint64_t sym_bytes[8];  /* a unit of T R K H S P N L: activations, ids, rows of tables, cache stores */
    uint64_t held_bytes;    /* a position held: keys and values read */
    uint64_t sym_macs[8];   /* multiply-adds of (t)matmul and estimate, a unit of the symbol */
    uint64_t attended_macs; /* a position attended */
    uint64_t window;        /* at most so many positions a row are; 0: all */
} TerncCost;
/* Of every launch of a variant (a PROG section); free(*out). */
TERN_API TernStatus ternc_cost(const TernModel *model, uint32_t variant, TerncCost **out, uint32_t *out_n,
                               TernError *err);

/* Compares two files, each a .tir, a .gguf (its graph) or a .tern (its graphs, variant by variant): structure, weights,
 * metadata. A model file against a compiled one is put through the same passes first. */
typedef struct TerncDiff {
    size_t size;
    const char *a, *b; /* "-" is text on standard input */
    int names;         /* report values that have another name, too */
    int no_stats;      /* differing weights by hash and scale alone: their values are not read */
} TerncDiff;
/* Sends what = "result" with one line a difference and a summary; *same is 1 if there is none. */
TERN_API TernStatus ternc_diff(const TerncDiff *diff, TerncTextFn *text, void *user, int *same,
                               TernError *err);

typedef struct TerncPicture {
    size_t size;
    const char *path;          /* .tir, .gguf, .tern, "-" (text), or NULL for the embedded model */
    const TerncSource *source; /* overrides for a .gguf; may be NULL */
    const char *format;        /* "dot" (one graph), "json" or "tir" (all) */
    const char
        *levels; /* a model is compiled for these levels and their variants are shown; NULL: as it stands */
    const char *head;     /* as in TerncOptions */
    uint32_t variant;     /* dot: which of several graphs, from 0 */
    int fold_layers;      /* dot: repeated layers are drawn once */
    int one_layer, layer; /* dot: with one_layer set, that layer alone; refused if there is no such layer */
    const char *profile;  /* dot: a json file {"kernels": [{"name": .., "ms": ..}]}; may be NULL */
} TerncPicture;
/* Sends what = "result" with the text; faults as in ternc_opt. */
TERN_API TernStatus ternc_picture(const TerncPicture *picture, TerncTextFn *text, void *user, TernError *err);

/* Runs a model on real tokens and holds every launch's code against the evaluator, value by value; or two graphs
 * against each other. */
typedef struct TerncVerify {
    size_t size;
    const TerncSource *source;   /* the model, compiled as for ternc_load; NULL: the embedded one */
    const char *blob;            /* or a compiled file instead */
    const TerncOptions *options; /* cap, target, progress; of a source also levels and head; may be NULL */
    const int32_t *tokens;       /* one sequence */
    uint32_t n_tokens;
    uint32_t threads; /* tiles that a launch is cut into; default: as many as a pool has by default */
    TernKv kv;        /* default f16 */
    /* NULL or a target that makes no code: the evaluator. Another model (.gguf, or .tir with the source's weights): both graphs are
     * evaluated, and the values that match are compared. If one of the two is compiled, its code is held against
     * the evaluator and its results against the other's graph. */
    const char *against;
    int bisect; /* also look for the pass that changes a result; not of a blob */
    const char *
        reduce; /* a file, none of those read: what differs, made a graph of a few ops with random weights; may be NULL */
    /* No tokens: the source's graph, which then may be any text, is compiled and run on random inputs. */
    int random;
    uint64_t seed;             /* of the inputs; 0 without `seeded`: 1 and 2 */
    uint32_t rows_lo, rows_hi; /* the batch class; 0: 1, 2..8 and 9..512. A step has up to 192 rows */
    int seeded;                /* seed is to be used, whatever it is */
} TerncVerify;
/* Sends what = "result": a line of proof, or the first value that differs and the op that made it; and, of code whose
 * keys or values saturated in an f16 cache (tern_session_saturated), what = "saturated": their number in digits. *same is
 * 1 if all are equal, bit for bit. */
TERN_API TernStatus ternc_verify(const TerncVerify *verify, TerncTextFn *text, void *user, int *same,
                                 TernError *err);

#ifdef __cplusplus
}
#endif
#endif
