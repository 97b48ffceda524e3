/* The llvm target: compiles the kernels of a planned graph to objects in memory and flattens these into one
 * image.
 *
 * Jobs that share functions form a batch. A batch is a module with an LLVM context of its own. A few threads
 * take the batches, the largest first. The objects are flattened in a fixed order, which does not depend on
 * which thread was faster. The pass pipeline is short on purpose: our loops are already written in the shape
 * in which they should run, and -O2 costs twice the time and spills. From LLVM 18 on, a pass that is named in
 * a text verifies by default that it left nothing to do. That is meant for LLVM's own tests, and we turn it
 * off. */
#include "codegen/families.h"
#include "codegen/helpers.h"
#include "codegen/llvm/llvm.h"
#include "codegen/llvm/ops/attend.h"
#include "codegen/llvm/ops/ops.h"
#include "codegen/llvm/ops/table_rows.h"
#include "codegen/llvm/ops/ternary.h"
#include "codegen/llvm/weave.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Error.h>
#include <llvm-c/ErrorHandling.h>
#include <llvm-c/Target.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <llvm/Config/llvm-config.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/base/arena.h"

enum { BATCH = 8, SCORE = 100 };
#if LLVM_VERSION_MAJOR >= 18
static const char pipeline[] = "function(early-cse,instcombine<no-verify-fixpoint>,simplifycfg)";
#else
static const char pipeline[] = "function(early-cse,instcombine,simplifycfg)";
#endif

static void optimise(LLVMModuleRef m, LLVMTargetMachineRef machine, const char *what) {
    char *text = NULL;
    if (LLVMVerifyModule(m, LLVMReturnStatusAction, &text)) TN_BUG("LLVM IR of %s: %s", what, text);
    LLVMDisposeMessage(text);
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef error = LLVMRunPasses(m, pipeline, machine, options);
    if (error) TN_BUG("LLVM passes over %s: %s", what, LLVMGetErrorMessage(error));
    LLVMDisposePassBuilderOptions(options);
}

/* Runs the passes and emits an object or assembly. Disposes of the module. */
static LLVMMemoryBufferRef emit_module(LLVMModuleRef m, LLVMTargetMachineRef machine,
                                       LLVMCodeGenFileType type, const char *what) {
    char *text = NULL;
    LLVMMemoryBufferRef object;
    optimise(m, machine, what);
    if (LLVMTargetMachineEmitToMemoryBuffer(machine, m, type, &text, &object))
        TN_BUG("LLVM code of %s: %s", what, text);
    LLVMDisposeModule(m);
    return object;
}

static LLVMTargetMachineRef open_machine(const TnLevel *level) {
    LLVMTargetRef target;
    char *text = NULL;
    const TnLevelRow *row = tn_level_numbered(level->number);
    const char *triple = tn_llvm_triple(level);
    if (LLVMGetTargetFromTriple(triple, &target, &text)) TN_BUG("LLVM has no %s: %s", triple, text);
    return LLVMCreateTargetMachine(target, triple, row->processor, row->more, LLVMCodeGenLevelDefault,
                                   LLVMRelocPIC, LLVMCodeModelSmall);
}

/* Compiles one empty function on one thread: at first use LLVM initialises some statics of its own, in ways
 * that race detectors cannot follow. */
static void warm_up(void) {
    const TnLevel *level = tn_llvm_level(tn_level_name(TN_LEVEL_AVX2));
    LLVMTargetMachineRef machine = open_machine(level);
    LLVMContextRef c = LLVMContextCreate();
    LLVMModuleRef m = LLVMModuleCreateWithNameInContext("warm", c);
    LLVMSetTarget(m, tn_llvm_triple(level));
    LLVMValueRef f = LLVMAddFunction(m, "f", LLVMFunctionType(LLVMVoidTypeInContext(c), NULL, 0, 0));
    LLVMBuilderRef b = LLVMCreateBuilderInContext(c);
    LLVMPositionBuilderAtEnd(b, LLVMAppendBasicBlockInContext(c, f, ""));
    LLVMBuildRetVoid(b);
    LLVMDisposeBuilder(b);
    LLVMDisposeMemoryBuffer(emit_module(m, machine, LLVMObjectFile, "nothing"));
    LLVMContextDispose(c);
    LLVMDisposeTargetMachine(machine);
}

static void initialize(void) {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeX86AsmParser(); /* for code given as bytes */
    LLVMInitializeAArch64TargetInfo();
    LLVMInitializeAArch64Target();
    LLVMInitializeAArch64TargetMC();
    LLVMInitializeAArch64AsmPrinter();
    LLVMInstallFatalErrorHandler(tn_llvm_fatal);
    warm_up();
}

static pthread_once_t initialized = PTHREAD_ONCE_INIT;

/* ---- Lines of ops, for listings: debug info, which the listing turns into comments. Code that runs has
 * none. */

static void open_lines(TnBuilder *b) {
    b->di = LLVMCreateDIBuilder(b->m);
    b->di_file = LLVMDIBuilderCreateFile(b->di, "tir", 3, "", 0);
    LLVMDIBuilderCreateCompileUnit(b->di, LLVMDWARFSourceLanguageC99, b->di_file, "tern", 4, 0, "", 0, 0, "",
                                   0, LLVMDWARFEmissionLineTablesOnly, 0, 0, 0, "", 0, "", 0);
    LLVMAddModuleFlag(b->m, LLVMModuleFlagBehaviorWarning, "Debug Info Version", 18,
                      LLVMValueAsMetadata(tn_build_i32(b, (int)LLVMDebugMetadataVersion())));
}

static void open_kernel_lines(TnBuilder *b, const char *symbol) {
    if (!b->di) return;
    size_t n = strlen(symbol);
    LLVMMetadataRef type = LLVMDIBuilderCreateSubroutineType(b->di, b->di_file, NULL, 0, LLVMDIFlagZero);
    b->di_scope = LLVMDIBuilderCreateFunction(b->di, b->di_file, symbol, n, symbol, n, b->di_file,
                                              b->di_line + 1, type, 0, 1, b->di_line + 1, LLVMDIFlagZero, 1);
    LLVMSetSubprogram(b->fn, b->di_scope);
}

/* ---- One kernel */

/* The room that a unit has for the bytes of rows that it lists; 0: the kernel lists none. Those list of which all ops read rows of
 * one table of floats: embeds, or an op that computes elements, and the picks of what it found, which read none. */
static uint64_t room_of_rows(const TnGraph *g, const TnKernel *k) {
    const uint64_t most = 2 << 20; /* of more rows, some are listed at a time */
    const TnNode *first = &g->nodes[k->first];
    TnRef table = first->args[first->n_args - 1];
    const TnType *t = &g->nodes[table].type;
    if (!tn_op_reads_rows(first->op) || !tn_llvm_reads_table(t) || tn_row_bytes(t) > most) return 0;
    bool dots = tn_op_is(first->op, TN_TRAIT_DOTS);
    for (TnRef r = k->first + 1; r < k->first + k->n; r++) {
        const TnNode *n = &g->nodes[r];
        bool other = n->op != first->op || n->args[n->n_args - 1] != table;
        if (dots ? !tn_llvm_picks_found(g, r) : other) return 0;
    }
    int64_t rows = !dots ? k->n : t->dim[0] < TN_ROWS_LISTED ? t->dim[0] : TN_ROWS_LISTED;
    uint64_t room = (uint64_t)rows * tn_row_bytes(t);
    return room < most ? room : most;
}

static void emit_kernel(TnBuilder *b, TnEmitJob *job) {
    const TnGraph *g = job->g;
    b->g = g;
    b->kernel = job->kernel;
    b->k = &g->kernels[job->kernel];
    b->scratch_bytes = b->scratch_page = 0;
    b->top = TN_NONE;
    tn_llvm_note(b->k->name, "entry");
    LLVMTypeRef params[] = {b->t_ptr, b->t_ptr};
    b->fn = tn_build_function(b, job->symbol, params, 2, true);
    LLVMPositionBuilderAtEnd(b->b, LLVMAppendBasicBlockInContext(b->c, b->fn, ""));
    open_kernel_lines(b, job->symbol);
    (void)tn_build_op(b, b->k->root == TN_NONE ? b->k->first : b->k->root);
    LLVMValueRef launch = LLVMGetParam(b->fn, 0), tile = LLVMGetParam(b->fn, 1);
    LLVMValueRef ptr = tn_build_load(b, b->t_ptr, launch, 8);
    LLVMValueRef sym = tn_build_load(b, b->t_ptr, tn_build_atc(b, launch, 8), 8);
    for (int i = 0; i < TN_SYM_COUNT; i++)
        b->sym[i] = tn_build_load(b, b->t_i64, tn_build_atc(b, sym, 8 * i), 8);
    b->n_ops = tn_kernel_operands(g, job->kernel, b->ops, &b->n_in);
    for (uint32_t i = 0; i < b->n_ops; i++)
        b->op_ptr[i] = tn_build_load(b, b->t_ptr, tn_build_atc(b, ptr, 8 * (int64_t)i), 8);
    b->lo = tn_build_load(b, b->t_i64, tile, 8);
    b->hi = tn_build_load(b, b->t_i64, tn_build_atc(b, tile, 8), 8);
    b->scratch = tn_build_load(b, b->t_ptr, tn_build_atc(b, tile, 16), 8);
    b->scratch_valid = tn_build_load(b, b->t_i64, tn_build_atc(b, tile, 24), 8);
    b->row_room = room_of_rows(g, b->k);
    job->lists = b->row_room > 0;
    b->row_list =
        job->lists ? tn_build_scratch(b, sizeof(TnRowList) + b->row_room) : NULL; /* the first piece */

    bool writes =
        b->n_ops > b->n_in; /* false if no value of the kernel is read, which happens where dce did not run */
    for (TnRef r = b->k->first; r < b->k->first + b->k->n; r++)
        writes |= tn_op_is(g->nodes[r].op, TN_TRAIT_STATE);
    TnRef root = b->k->root;
    const TnLlvmOp *op = root == TN_NONE ? NULL : tn_llvm_ops[g->nodes[root].op];
    tn_llvm_note(b->k->name, root == TN_NONE ? "rows" : tn_ops[g->nodes[root].op].name);
    if (op && op->kernel && writes)
        op->kernel(b);
    else if (writes)
        tn_build_rows_kernel(b);
    LLVMBuildRetVoid(b->b);
    job->scratch = b->scratch_bytes;
    job->scratch_page = b->scratch_page;
    b->di_line += b->k->n;
}

/* ---- Modules */

static TnBuilder open_module(const TnLevel *level, LLVMTargetMachineRef machine, const TnFlat *given) {
    TnBuilder b = {.level = level, .given = given, .table = tn_llvm_ops, .c = LLVMContextCreate()};
    b.m = LLVMModuleCreateWithNameInContext("tern", b.c);
    b.b = LLVMCreateBuilderInContext(b.c);
    b.t_void = LLVMVoidTypeInContext(b.c);
    b.t_i1 = LLVMInt1TypeInContext(b.c);
    b.t_i8 = LLVMInt8TypeInContext(b.c);
    b.t_i16 = LLVMInt16TypeInContext(b.c);
    b.t_i32 = LLVMInt32TypeInContext(b.c);
    b.t_i64 = LLVMInt64TypeInContext(b.c);
    b.t_f16 = LLVMHalfTypeInContext(b.c);
    b.t_f32 = LLVMFloatTypeInContext(b.c);
    b.t_ptr = LLVMPointerTypeInContext(b.c, 0);
    b.t_f32x = LLVMVectorType(b.t_f32, TN_LANES);
    b.t_i32x = LLVMVectorType(b.t_i32, TN_LANES);
    LLVMSetTarget(b.m, tn_llvm_triple(level));
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(machine);
    LLVMSetModuleDataLayout(b.m, layout);
    LLVMDisposeTargetData(layout);
    return b;
}

/* ---- Batches. Each becomes a module. */

typedef struct Job {
    uint64_t kin;
    uint32_t index; /* in Work.jobs */
} Job;

typedef struct Batch {
    uint32_t first, n; /* in Work.order */
    TnBuilder lb;      /* m and c are the module and its context until it is emitted */
    uint64_t size;     /* in instructions; a measure of the time that it will take */
    LLVMMemoryBufferRef object;
} Batch;

typedef struct Work {
    TnEmitJob *jobs;
    uint32_t n, n_batches;
    const TnLevel *level;
    const TnFlat *given;
    Job *order;        /* n: the jobs of the batches, one batch after the other */
    Batch *batches;    /* in the order of the image */
    uint32_t *by_size; /* n_batches: the largest first */
    atomic_uint next, done;
    atomic_bool stop;
} Work;

/* Kernels with the same number share most of their functions. The functions of a product are for rows of
 * weights of one encoding and length. Those of a ternary product also depend on the rows of activations:
 * kernels of one row share mostly prologues, kernels of a few rows share products of one length, and kernels
 * of many rows share panels. */
static uint64_t kin_of(const TnEmitJob *job, const TnLevel *level) {
    const TnGraph *g = job->g;
    const TnKernel *k = &g->kernels[job->kernel];
    if (k->root == TN_NONE) return 0;
    const TnNode *root = &g->nodes[k->root];
    if (root->n_args < 2) return 0;
    const TnType *w = &g->nodes[root->args[1]].type;
    uint64_t columns = w->rank ? (uint64_t)w->dim[w->rank - 1] & UINT32_MAX : 0;
    uint64_t rows = root->op != TN_OP_tmatmul ? 0 : g->rows_hi > TN_FEW ? 2 : g->rows_hi > 1;
    /* The function that makes panels takes K as an argument, and so does all code with tiles. */
    if (root->op == TN_OP_tmatmul && (rows != 1 || level->amx)) columns = 0;
    return (uint64_t)(root->op + 1) << 56 | (uint64_t)w->enc << 48 | rows << 40 | columns;
}

static int by_kin(const void *x, const void *y) {
    const Job *a = x, *b = y;
    if (a->kin != b->kin) return a->kin < b->kin ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

static void cut_batches(Work *w) {
    w->order = tn_xcalloc(w->n + 1, sizeof *w->order);
    w->batches = tn_xcalloc(w->n + 1, sizeof *w->batches);
    for (uint32_t i = 0; i < w->n; i++) w->order[i] = (Job){kin_of(&w->jobs[i], w->level), i};
    qsort(w->order, w->n, sizeof *w->order, by_kin);
    for (uint32_t i = 0; i < w->n; i++) {
        Batch *last = w->n_batches ? &w->batches[w->n_batches - 1] : NULL;
        if (!last || last->n == BATCH || w->order[i].kin != w->order[i - 1].kin)
            w->batches[w->n_batches++] = (Batch){.first = i, .n = 1};
        else
            last->n++;
    }
}

static uint64_t instructions(LLVMModuleRef m) {
    uint64_t n = 0;
    for (LLVMValueRef f = LLVMGetFirstFunction(m); f; f = LLVMGetNextFunction(f))
        for (LLVMBasicBlockRef b = LLVMGetFirstBasicBlock(f); b; b = LLVMGetNextBasicBlock(b))
            for (LLVMValueRef i = LLVMGetFirstInstruction(b); i; i = LLVMGetNextInstruction(i)) n++;
    return n;
}

/* Building takes a fiftieth of the time of what follows, so one thread builds all modules. Then their sizes
 * are known. */
static void build_batches(Work *w) {
    LLVMTargetMachineRef machine = open_machine(w->level);
    w->by_size = tn_xcalloc(w->n_batches + 1, sizeof *w->by_size);
    for (uint32_t i = 0; i < w->n_batches; i++) {
        Batch *batch = &w->batches[i];
        batch->lb = open_module(w->level, machine, w->given);
        for (uint32_t j = 0; j < batch->n; j++)
            emit_kernel(&batch->lb, &w->jobs[w->order[batch->first + j].index]);
        LLVMDisposeBuilder(batch->lb.b);
        batch->size = instructions(batch->lb.m);
        uint32_t at = i;
        for (; at > 0 && w->batches[w->by_size[at - 1]].size < batch->size; at--)
            w->by_size[at] = w->by_size[at - 1];
        w->by_size[at] = i;
    }
    LLVMDisposeTargetMachine(machine);
}

static void take_batches(Work *w, TnProgressFn *progress, void *user) {
    LLVMTargetMachineRef machine = open_machine(w->level);
    for (;;) {
        uint32_t i = atomic_fetch_add(&w->next, 1);
        if (i >= w->n_batches || atomic_load(&w->stop)) break;
        Batch *batch = &w->batches[w->by_size[i]];
        const char *first = w->jobs[w->order[batch->first].index].symbol;
        tn_llvm_note(first, "and its batch");
        batch->object = emit_module(batch->lb.m, machine, LLVMObjectFile, first);
        LLVMContextDispose(batch->lb.c);
        batch->lb.m = NULL;
        batch->lb.c = NULL;
        uint32_t done = atomic_fetch_add(&w->done, batch->n) + batch->n;
        if (progress && progress(user, "codegen", done, w->n)) atomic_store(&w->stop, true);
    }
    LLVMDisposeTargetMachine(machine);
}

static void *helper(void *work) {
    take_batches(work, NULL, NULL);
    return NULL;
}

static TernStatus flatten(Work *w, const TnFlat *given, TnBuf *image, TernError *err) {
    for (uint32_t i = 0; i < w->n_batches; i++) {
        const Batch *batch = &w->batches[i];
        TnFlat flat = {0};
        TernStatus s = tn_flatten(LLVMGetBufferStart(batch->object), LLVMGetBufferSize(batch->object), given,
                                  image, &flat, err);
        for (uint32_t j = 0; s == TERN_OK && j < batch->n; j++) {
            TnEmitJob *job = &w->jobs[w->order[batch->first + j].index];
            bool found = false;
            for (size_t k = 0; k < flat.n && !found; k++)
                if (!strcmp(flat.symbols[k].name, job->symbol)) {
                    job->entry = flat.symbols[k].offset;
                    found = true;
                }
            if (!found) TN_BUG("the object has no %s", job->symbol);
        }
        tn_flat_free(&flat);
        if (s != TERN_OK) return s;
    }
    return TERN_OK;
}

static void close_batches(Work *w) {
    for (uint32_t i = 0; i < w->n_batches; i++) {
        Batch *batch = &w->batches[i];
        if (batch->lb.m) LLVMDisposeModule(batch->lb.m);
        if (batch->lb.c) LLVMContextDispose(batch->lb.c);
        if (batch->object) LLVMDisposeMemoryBuffer(batch->object);
    }
    free(w->order);
    free(w->batches);
    free(w->by_size);
}

TernStatus tn_llvm_emit(TnEmitJob *jobs, uint32_t n, const char *level, const TnFlat *given, TnBuf *image,
                        TnProgressFn *progress, void *user, TernError *err) {
    pthread_once(&initialized, initialize);
    Work w = {.jobs = jobs, .n = n, .level = tn_llvm_level(level), .given = given};
    if (!w.level) return tn_fail(err, TERN_ERR_INPUT, "level %s: not lowered by the llvm target", level);
    cut_batches(&w);
    build_batches(&w);
    TnHelpers helpers;
    tn_helpers_start(&helpers, w.n_batches, helper, &w);
    take_batches(&w, progress, user);
    tn_helpers_join(&helpers);
    TernStatus s = atomic_load(&w.stop) ? tn_fail(err, TERN_ERR_CANCELLED, "compilation cancelled")
                                        : flatten(&w, given, image, err);
    close_batches(&w);
    return s;
}

static TernStatus emit(TnEmitJob *jobs, uint32_t n, const char *level, TnBuf *image, TnProgressFn *progress,
                       void *user, TernError *err) {
    return tn_llvm_emit(jobs, n, level, NULL, image, progress, user, err);
}

/* ---- Listings: all jobs in one module, on one thread. */

/* Adds code that was given as bytes to the module as a function. It has no text to show. */
static void put_bytes(LLVMModuleRef m, const char *name, const uint8_t *code, size_t n) {
    TnBuf b = {0};
    tn_buf_printf(&b, "# %s: generated by libxsmm, %zu bytes of code\n", name, n);
    tn_buf_printf(&b, "\t.text\n\t.p2align 6\n\t.globl %s\n\t.hidden %s\n\t.type %s,@function\n%s:\n", name,
                  name, name, name);
    for (size_t i = 0; i < n; i++)
        tn_buf_printf(&b, "%s0x%02x%s", i % 16 ? "," : "\t.byte ", code[i],
                      i % 16 == 15 || i + 1 == n ? "\n" : "");
    tn_buf_printf(&b, "\t.size %s,%zu\n", name, n);
    LLVMAppendModuleInlineAsm(m, b.data, b.len);
    tn_buf_free(&b);
}

static void put_given(LLVMModuleRef m, const TnBuf *image, const TnFlat *given) {
    for (size_t i = 0; i < given->n; i++) {
        size_t at = (size_t)given->symbols[i].offset,
               end = i + 1 < given->n ? (size_t)given->symbols[i + 1].offset : image->len;
        put_bytes(m, given->symbols[i].name, (const uint8_t *)image->data + at, end - at);
    }
}

static void show(TnEmitJob *jobs, uint32_t n, const TnLevel *l, TnShow what, const TnBuf *image,
                 const TnFlat *given, TnBuf *out) {
    LLVMTargetMachineRef machine = open_machine(l);
    LLVMSetTargetMachineAsmVerbosity(machine, 1);
    TnBuilder b = open_module(l, machine, given);
    if (what != TN_SHOW_OBJ) open_lines(&b);
    for (uint32_t i = 0; i < n; i++) emit_kernel(&b, &jobs[i]);
    tn_llvm_note("all", "a listing");
    if (what != TN_SHOW_LLVM) put_given(b.m, image, given);
    if (b.di) {
        LLVMDIBuilderFinalize(b.di);
        LLVMDisposeDIBuilder(b.di);
    }
    LLVMDisposeBuilder(b.b);
    if (what == TN_SHOW_LLVM) {
        optimise(b.m, machine, "a listing");
        char *text = LLVMPrintModuleToString(b.m);
        if (!text) tn_out_of_memory(1); /* LLVM could not copy the text that it had printed */
        tn_llvm_weave(text, strlen(text), jobs, n, what, ";", out);
        LLVMDisposeMessage(text);
        LLVMDisposeModule(b.m);
    } else {
        LLVMMemoryBufferRef object =
            emit_module(b.m, machine, what == TN_SHOW_ASM ? LLVMAssemblyFile : LLVMObjectFile, "a listing");
        const char *bytes = LLVMGetBufferStart(object);
        size_t size = LLVMGetBufferSize(object);
        if (what == TN_SHOW_ASM)
            tn_llvm_weave(bytes, size, jobs, n, what,
                          tn_level_numbered(l->number)->arch == TN_ARCH_AARCH64 ? "//" : "#", out);
        else
            tn_buf_put(out, bytes, size);
        LLVMDisposeMemoryBuffer(object);
    }
    LLVMContextDispose(b.c);
    LLVMDisposeTargetMachine(machine);
}

static bool kind_of(const char *kind, TnShow *out) {
    static const char *const kinds[] = {
        [TN_SHOW_LLVM] = "llvm", [TN_SHOW_ASM] = "asm", [TN_SHOW_OBJ] = "obj"};
    for (size_t i = 0; i < TN_COUNT(kinds); i++)
        if (strcmp(kind, kinds[i]) == 0) {
            *out = (TnShow)i;
            return true;
        }
    return false;
}

TernStatus tn_llvm_show(TnEmitJob *jobs, uint32_t n, const char *level, const char *kind, const TnBuf *image,
                        const TnFlat *given, TnBuf *out, TernError *err) {
    pthread_once(&initialized, initialize);
    const TnLevel *l = tn_llvm_level(level);
    TnShow what;
    if (!l) return tn_fail(err, TERN_ERR_INPUT, "level %s: not lowered by the llvm target", level);
    if (!kind_of(kind, &what))
        return tn_fail(err, TERN_ERR_INPUT, "kind: got '%s', expected llvm, asm or obj for code of level %s",
                       kind, level);
    show(jobs, n, l, what, image, given, out);
    return TERN_OK;
}

int tn_llvm_x86_bytes(const char *level) {
    const TnLevel *l = tn_llvm_level(level);
    return l && tn_level_numbered(l->number)->arch == TN_ARCH_X86_64 ? l->bytes : 0;
}

/* ---- The passes' questions */

static bool has(const char *level) {
    return tn_llvm_level(level) != NULL;
}

static int llvm_score(const TnGraph *g, uint32_t kernel, const char *level) {
    const TnLevel *l = tn_llvm_level(level);
    const TnKernel *k = &g->kernels[kernel];
    if (!l) return 0;
    for (TnRef r = k->first; r < k->first + k->n; r++) {
        const TnLlvmOp *op = tn_llvm_ops[g->nodes[r].op];
        if (!op->can || !op->can(g, r, l)) return 0;
        if (r == k->root) continue;
        bool row =
            tn_ops[g->nodes[r].op].class == TN_ROW; /* no whole rows after a root that goes by columns */
        if (k->root != TN_NONE && r > k->root && row && tn_llvm_ops[g->nodes[k->root].op]->kernel) return 0;
    }
    TnPart parts[TN_PARTS_MAX];
    bool cols = k->root != TN_NONE && tn_op_is(g->nodes[k->root].op, TN_TRAIT_PRODUCT);
    return cols && !tn_kernel_parts(g, kernel, parts) ? 0 : SCORE;
}

uint32_t tn_attend_gemms(const TnGraph *g, uint32_t kernel, const char *level, const char *target,
                         TnSmallGemm out[2]) {
    const TnKernel *k = &g->kernels[kernel];
    const TnLevel *l = tn_llvm_level(level);
    if (!l || k->root == TN_NONE || g->nodes[k->root].op != TN_OP_attend) return 0;
    if (llvm_score(g, kernel, level) <= 0) return 0;
    TnAttend a = tn_attend_of(g, k->root, k->units, l);
    if (!tn_attend_is_blocked(&a, k)) return 0;
    out[0] = (TnSmallGemm){.m = TN_PAGE, .n = TN_ATTEND_GIVEN_COLS, .k = a.head};
    out[1] = (TnSmallGemm){.m = a.head, .n = TN_ATTEND_GIVEN_COLS, .k = TN_PAGE};
    for (int i = 0; i < 2; i++) tn_attend_symbol(out[i].symbol, target, out[i].m, out[i].k);
    return 2;
}

/* Ternary weights become p64, or r64 if their scales are for groups. Tables stay as they are if the code can read them so,
 * else they become f32. */
static TnEnc prefer(const TnType *weight, TnOp reader, const char *level) {
    (void)level;
    (void)reader;
    if (!tn_enc_is_ternary(weight->enc)) return tn_llvm_reads_table(weight) ? weight->enc : TN_ENC_f32;
    return tn_type_in_groups(weight) ? TN_ENC_r64 : TN_ENC_p64;
}

/* Measured (docs/performance.md). Tiles read p64 where rows are few; levels of aarch64 were not measured. */
static bool beside(const char *level) {
    const TnLevel *l = tn_llvm_level(level);
    return l && !l->amx && (l->dot == TN_DOT_VNNI || l->dot == TN_DOT_MADDUBS);
}

/* Measured by family (families.def), for registers of a whole line. */
static bool whole(const char *level, const char *family) {
    const TnLevel *l = tn_llvm_level(level);
    const TnFamily *f = tn_family_named(family);
    return l && l->bytes == TN_LINE && f && f->whole;
}

/* b80 only, which asks for products of unsigned bytes without saturation; measured by family (families.def). */
static TnMerit base3(const char *level, const char *family) {
    const TnLevel *l = tn_llvm_level(level);
    const TnFamily *f = tn_family_named(family);
    if (!l || l->dot != TN_DOT_VNNI) return TN_MERIT_NONE;
    return f && f->base3 ? TN_MERIT_GAINS : TN_MERIT_CAN;
}

static bool dot_of(const TnGraph *g, TnRef product, TnDot *out) {
    const TnLevel *l = g->level ? tn_llvm_level(g->level) : NULL;
    if (!l) return false;
    const TnNode *n = &g->nodes[product];
    if (n->op == TN_OP_estimate)
        *out = tn_llvm_estimate_dot(l, g->nodes[n->args[1]].type.enc);
    else
        *out = tn_llvm_dot(l, &g->nodes[n->args[1]].type, g->rows_hi);
    return n->op == TN_OP_estimate || n->op == TN_OP_tmatmul;
}

const TnTarget tn_target_llvm = {.desc = {.name = "llvm",
                                          .can = llvm_score,
                                          .prefer = prefer,
                                          .beside = beside,
                                          .whole = whole,
                                          .base3 = base3,
                                          .dot_of = dot_of,
                                          .prefetch = tn_llvm_prefetch,
                                          .panels = tn_llvm_panels},
                                 .has = has,
                                 .section = TN_SECTION_CODE,
                                 .emit = emit,
                                 .show = tn_llvm_show};
