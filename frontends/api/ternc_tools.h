/* Tern's tools: calls that examine a model instead of running it. They send text piece by piece to a
 * callback.
 *
 *   ternc_emit      writes the code of a level, as LLVM IR, assembly or an object
 *   ternc_opt       runs passes on a graph, step by step
 *   ternc_inspect   lists a file's metadata, tensors, sections and kernels
 *   ternc_eval      evaluates a graph on made-up inputs
 *   ternc_import    reports on a model file: who wrote it, what is inferred, what would run
 *   ternc_cost      counts bytes and multiply-adds of every launch
 *   ternc_convert   writes a GGUF of a folder of Hugging Face
 *   ternc_diff      compares two files, graph by graph
 *   ternc_picture   writes a graph as dot, json or text
 *   ternc_verify    compares every launch's code with the evaluator, value by value
 *   ternc_check_device  runs every instruction that kernels for GPUs may have on one
 *
 * They are in libternc and follow the rules of ternc.h for errors, threads and option structs. */
#ifndef TERNC_TOOLS_H
#define TERNC_TOOLS_H

#include "ternc.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Receives a piece of text. `what` names its kind: "fuse", "result", "faults", ... "note" is the line that
 * TerncSource.note describes; it comes here when the call has no source with a `note`. */
typedef void TerncTextFn(void *user, const char *what, const char *text, size_t size);
/* Generates the code of the first level and sends it as what = "result". kind is one that the targets of that
 * level offer: on a CPU "llvm" (IR), "asm" or "obj" (ELF). In the text kinds each kernel's .tir lines stand
 * above its function. */
TERN_API TernStatus ternc_emit(const TerncSource *source, const TerncOptions *options, const char *kind,
                               TerncTextFn *text, void *user, TernError *err);

typedef struct TerncOpt {
    size_t size;
    const char *path; /* .tir, "-" (text on standard input), .tern, .gguf; NULL: the embedded model */
    const TerncSource *source; /* overrides for a .gguf; may be NULL */
    const char *passes;        /* comma list; "": none; NULL: all that apply from the input's stage on */
    /* Comma list of passes whose result is sent to `text`, or "all". If "changed" is in the list, only
     * results whose text changed are sent. May be NULL. */
    const char *dump_after;
    const char *level, *head;  /* default: this machine's best level; head as in TerncOptions */
    TernKv kv;                 /* default f16 */
    uint32_t rows_lo, rows_hi; /* batch class; default 1..1 */
    int times;                 /* send a line "pass seconds" as what = "time" after each pass */
    /* Which passes run if `passes` is NULL. "O0": fuse, layout, tile and plan. "O1": also fold, cse and dce
     * before them. "O2", "O3" or NULL: all. Refused together with `passes`. */
    const char *effort;
    /* After each pass also parse the printed text and compare; sends a line as what = "verify". The verifier
     * itself always runs after every pass. */
    int verify_each;
    int ranges; /* add a comment at the end of each line with what is known of its integers (ir/range.h) */
    /* Which graph of an input with several, from 1. 0: of a blob, the first that matches those of level, kv
     * and rows that are given. */
    uint32_t variant;
    /* As in TerncOptions, for the packing that pass layout chooses and the distances of prefetches and panels that pass tile
     * sets. Refused if neither runs. Default: "any" if `level` is given, else "here". */
    const char *family;
} TerncOpt;
/* Runs passes on a graph and sends the text as what = "result". Refuses a level, family, kv, batch class or head that
 * no pass of the list uses, or that contradicts what the graph already has. A faulty input text sends its
 * messages as what = "faults" (lines "file:line:col: ...") and returns TERN_ERR_INPUT. */
TERN_API TernStatus ternc_opt(const TerncOpt *opt, TerncTextFn *text, void *user, TernError *err);

/* Sends a description of a GGUF file or a blob: metadata, tensors, sections, kernels, memory plan. */
TERN_API TernStatus ternc_inspect(const char *path, TerncTextFn *text, void *user, TernError *err);

typedef struct TerncEval {
    size_t size;
    /* .tir, "-" (text on standard input), .gguf or .tern; NULL: the embedded model. The weights of a .tern
     * are not found, since it stores them under other names. */
    const char *path;
    const char *weights; /* a .gguf that holds the tensors of `gguf` nodes; may be NULL */
    uint32_t rows;       /* rows of the step, 1 to 64; default: as the graph says, else 2 */
    uint32_t variant;    /* which of several graphs, from 0 */
} TerncEval;
/* Evaluates a graph on inputs made up by a rule (stated in docs/ir.md) and sends its results as what =
 * "result", one line a row. Meant for graphs written by hand. Faults as in ternc_opt. */
TERN_API TernStatus ternc_eval(const TerncEval *eval, TerncTextFn *text, void *user, TernError *err);

typedef struct TerncImport {
    size_t size;
    const TerncSource *source; /* a model file; NULL: the embedded model */
    int json;                  /* json instead of tables */
    /* Reports progress; a nonzero return cancels. May be NULL. */
    int (*progress)(void *user, const char *phase, uint64_t done, uint64_t total);
    void *user;
    int i2s_probe; /* compile and run the model under each layout of I2_S, and name the one that knows a fixed text best */
} TerncImport;
/* Sends a report on a model file as what = "result": the program that probably wrote it, what Tern infers and
 * from what, what it ignores, statistics of every ternary matrix (this reads all weights), memory at several
 * precisions, and the kernels that this machine would run. For a sound file that is not supported, the report
 * says why. */
TERN_API TernStatus ternc_import(const TerncImport *import, TerncTextFn *text, void *user, TernError *err);

/* What one call of a launch reads, writes and multiplies, from the planned graph in the model's TIR section.
 * Each operand counts once, with the bytes that the call reads or writes of it. To get sums over all calls,
 * insert the sums of a profile (tern.h: TernProfileProgram) for the symbols and positions. */
typedef struct TerncCost {
    char name[64];         /* the kernel's; cut if it is longer */
    char what[96];         /* "tmatmul p64[512,256]" */
    uint32_t group;        /* the first launch with the same code and shapes, perhaps this one */
    uint64_t weight_bytes; /* per call: weights that are read whole */
    /* Size of a table that launches read only by rows, given at the first such launch. The rows themselves
     * count in sym_bytes. */
    uint64_t table_bytes;
    uint64_t sym_bytes[8];  /* per unit of T R K H S P N L: activations, ids, rows of tables, cache stores */
    uint64_t held_bytes;    /* per position held: keys and values read */
    uint64_t sym_macs[8];   /* per unit of the symbol: multiply-adds of (t)matmul and estimate */
    uint64_t attended_macs; /* per position attended */
    uint64_t window;        /* most positions that a row attends to; 0: all */
    uint64_t grain;         /* columns of a unit; 0: it is not cut by columns */
    uint64_t least;         /* columns of a unit can be any multiple of this, and no less; 0 as well then */
} TerncCost;
/* Gives the cost of every launch of a variant (a PROG section). free(*out). */
TERN_API TernStatus ternc_cost(const TernModel *model, uint32_t variant, TerncCost **out, uint32_t *out_n,
                               TernError *err);

/* Compares structure, weights and metadata of two files. Each is a .tir, a .gguf (its graph) or a .tern (its
 * graphs, variant by variant). If one is a model file and the other compiled, the model file is put through
 * the same passes first. */
typedef struct TerncDiff {
    size_t size;
    const char *a, *b; /* "-" is text on standard input */
    int names;         /* also report values whose names differ */
    int no_stats;      /* compare weights only by hash and scale, without reading their values */
} TerncDiff;
/* Sends one line for each difference and a summary as what = "result". *same is 1 if there is no
 * difference. */
TERN_API TernStatus ternc_diff(const TerncDiff *diff, TerncTextFn *text, void *user, int *same,
                               TernError *err);

typedef struct TerncConvert {
    size_t size;
    const char *path;   /* a folder of Hugging Face, or a GGUF, which is written with other types */
    const char *output; /* the GGUF */
    /* Type of ternary matrices: "i2_s", "tq1_0", "tq2_0", "q2_0", "pq2_0" or "ptq1_0". Default: the one that their scales need: i2_s
     * for one scale a matrix, else the type with the largest blocks that has no more than one scale in a block. Of a GGUF also
     * "f16" or "f32": weights times scales, with which activations are not rounded. */
    const char *type;
    /* Type of embedding and head: "f32", "f16", "bf16" or "q8_0". Default: as they are. */
    const char *embd;
    /* Of a folder: name of the pre-tokenizer. Default: it is recognised, or the folder refused. */
    const char *pre;
    /* Of a folder: round matrices that are not ternary by their mean magnitude, also if nothing in it says so. */
    int absmean;
    /* Gets a line for each thing that is worth knowing. May be NULL. */
    void (*note)(void *user, const char *line);
    void *user;
    /* Of a GGUF with TL1 or TL2: the kernel_config.ini of the bitnet.cpp that wrote it, for its tiles; type is then "i2_s" by default. */
    const char *tl_config;
} TerncConvert;
/* Writes a GGUF of a folder, or of a GGUF one with other types: there weights and scales stay as they are, so a type that
 * cannot hold them is refused, and without a type the file is copied, in one part. Memory holds a few rows at a time, and of
 * the files the tensor that is being read. */
TERN_API TernStatus ternc_convert(const TerncConvert *convert, TernError *err);

typedef struct TerncPicture {
    size_t size;
    const char *path;          /* .tir, .gguf, .tern, "-" (text), or NULL for the embedded model */
    const TerncSource *source; /* overrides for a .gguf; may be NULL */
    const char *format;        /* "dot" (one graph), "json" or "tir" (all) */
    /* Compile a model for these levels and show their variants. NULL: show the graph as it is in the file. */
    const char *levels;
    const char *head;     /* as in TerncOptions */
    uint32_t variant;     /* dot: which of several graphs, from 0 */
    int fold_layers;      /* dot: draw repeated layers once */
    int one_layer, layer; /* dot: if one_layer is set, draw only `layer`; refused if there is no such layer */
    const char *profile;  /* dot: a json file {"kernels": [{"name": .., "ms": ..}]}; may be NULL */
    const char *family;   /* with levels, as in TerncOptions */
} TerncPicture;
/* Sends the text as what = "result". Faults as in ternc_opt. */
TERN_API TernStatus ternc_picture(const TerncPicture *picture, TerncTextFn *text, void *user, TernError *err);

/* Runs a model on given tokens and compares every launch's code with the evaluator, value by value; or
 * compares two graphs. */
typedef struct TerncVerify {
    size_t size;
    const TerncSource *source; /* the model, compiled as by ternc_load; NULL: the embedded one */
    const char *blob;          /* a compiled file, instead of source */
    const TerncOptions *
        options; /* uses cap, device, target, progress; with source also levels, head and context; may be NULL */
    const int32_t *tokens; /* one sequence */
    uint32_t n_tokens;
    uint32_t threads; /* number of tiles that a launch is cut into; default: a pool's default */
    TernKv kv;        /* default f16 */
    /* What to compare with. NULL, or the name of a target that makes no code: the evaluator. A file (.gguf,
     * or .tir with the source's weights): both graphs are evaluated and the values that match up are
     * compared. If one of the two is compiled, its code is compared with the evaluator and its results with
     * the other's graph. */
    const char *against;
    /* options->device: launches run on that GPU, one by one, on copies of what the host has. Not with reduce and random. */
    int bisect; /* also look for the pass that changes a result; refused with blob */
    /* A file to write: what differs, reduced to a graph of a few ops with random weights. It must not be one
     * of the files that are read. May be NULL. */
    const char *reduce;
    /* Takes no tokens: compiles the source's graph, which may then be any text, and runs it on random
     * inputs. */
    int random;
    uint64_t seed;             /* of the random inputs; if 0 and `seeded` is not set: 1, then 2 */
    uint32_t rows_lo, rows_hi; /* batch class; 0: 1, 2..8 and 9..512 in turn. A step has at most 192 rows */
    int seeded;                /* use seed even if it is 0 */
} TerncVerify;
/* Sends what = "result": a line that says how much was compared, or the first value that differs and the op
 * that made it. If keys or values of compiled code saturated in an f16 cache (tern_session_saturated), sends
 * their number in digits as what = "saturated". *same is 1 if everything is equal, bit for bit. */
TERN_API TernStatus ternc_verify(const TerncVerify *verify, TerncTextFn *text, void *user, int *same,
                                 TernError *err);

typedef struct TerncDeviceCheck {
    size_t size;
    const char *device; /* "cuda" or "cuda:N"; NULL: nothing runs */
} TerncDeviceCheck;
/* Runs every instruction that kernels for a GPU may have, on inputs at its edges, and compares what comes out with what the
 * compiler takes it to do. Sends as what = "result" a line for each. *same is 1 if all do that. Without a device it sends the
 * names of those that no GPU has run so far, and *same is 1. */
TERN_API TernStatus ternc_check_device(const TerncDeviceCheck *check, TerncTextFn *text, void *user,
                                       int *same, TernError *err);

#ifdef __cplusplus
}
#endif
#endif
