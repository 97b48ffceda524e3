/* tern compile, tern opt, tern eval, tern inspect: verbs that make one call of the compiler library. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "frontends/cli/inspect.h"
#include "runtime/base/escape.h"

#define MB(bytes) ((double)(bytes) / 1e6)

typedef struct TextOut {
    const char *path; /* where the result goes; NULL or "-": standard output */
    TernStatus status;
    TernError err;
} TextOut;

static TernStatus write_file(const char *path, const char *text, size_t n, TernError *err) {
    TnWriter w;
    TN_TRY(tn_writer_open(path, &w, err));
    TernStatus st = tn_writer_put(&w, text, n, err);
    if (st == TERN_OK) return tn_writer_commit(&w, err);
    tn_writer_abort(&w);
    return st;
}

/* The result goes to -o. Dumps go to standard output before it, times and faults to standard error. */
static void take_text(void *user, const char *what, const char *text, size_t n) {
    TextOut *o = user;
    if (take_note(what, text, n)) return;
    if (strcmp(what, "time") == 0 || strcmp(what, "verify") == 0 || strcmp(what, "faults") == 0) {
        fwrite(text, 1, n, stderr);
    } else if (strcmp(what, "result") != 0) {
        printf("; after %s\n", what);
        fwrite(text, 1, n, stdout);
    } else if (o->path && strcmp(o->path, "-") != 0) {
        fflush(stdout); /* which the path may name */
        o->status = write_file(o->path, text, n, &o->err);
    } else {
        fwrite(text, 1, n, stdout);
    }
}

static const char *emit_help(void) {
    static char text[320];
    const char *kinds = tn_target_listings();
    snprintf(text, sizeof text,
             "what to write: blob (default); exe: a program with the blob in it; blob-obj: an ELF object "
             "with the blob as data; "
             "tir, json or dot: the planned graphs%s%s%s",
             *kinds ? "; " : "", kinds, *kinds ? ": the first level's code" : "");
    return text;
}

/* text: [200]; levels: the flag that names levels */
static const char *family_help(char *text, const char *levels) {
    snprintf(text, 200,
             "%s: the processors whose distances weights are fetched ahead by; default: here, or any with %s",
             tn_family_names(), levels);
    return text;
}

/* The flags that check_compile checks. */
typedef struct CompileFlags {
    const int64_t *variant;
    const bool *fold;
    const int64_t *context;
    const char **kvs, **weights;
    const TerncOptions *o;
    const StrList *overrides;
    const bool *ternary_dense;
    const char *const *i2s_layout;
    const char *path;
} CompileFlags;

/* Refuses flags that the kind of --emit does not use. */
static void check_compile(const Verb *verb, const char *emit, const CompileFlags *f) {
    bool dot = strcmp(emit, "dot") == 0, text = dot || strcmp(emit, "tir") == 0 || strcmp(emit, "json") == 0;
    only_with(verb, f->variant, dot, "--emit dot");
    only_with(verb, f->fold, dot, "--emit dot");
    const void *const compiled[] = {f->context, f->kvs, f->weights, &f->o->target};
    for (size_t i = 0; i < TN_COUNT(compiled); i++)
        only_with(verb, compiled[i], !text, "--emit blob or code");
    if (text) {
        only_of_gguf(verb, f->path, f->overrides);
        only_of_gguf(verb, f->path, f->ternary_dense);
        only_of_gguf(verb, f->path, f->i2s_layout);
    }
    const char *levels = f->o->levels, *target = f->o->target;
    bool ref = tn_target_evaluates(target), no_level = levels && strcmp(levels, TN_LEVEL_REF_NAME) == 0;
    only_with(verb, &f->o->levels, !ref || no_level, "compiled code: the target makes none");
    if (tn_target_lists(emit) && levels && strchr(levels, ','))
        note("%s: '%s' has no effect with --emit %s, which shows the first level", flag_given(&f->o->levels),
             strchr(levels, ',') + 1, emit);
}

/* The machine of the first of these levels, for the name of a file; this machine's if there is none. */
static const char *machine_of_levels(const char *levels) {
    char name[32];
    snprintf(name, sizeof name, "%.*s", levels ? (int)strcspn(levels, ",") : 0, levels ? levels : "");
    const TnLevelRow *row = tn_level_named(name);
    return (row ? row->arch : TN_ARCH_HERE) == TN_ARCH_AARCH64 ? "aarch64" : "x86-64";
}

int verb_compile(const Verb *verb, int argc, char **argv) {
    TerncSource source = {.size = sizeof source, .note = print_note};
    TerncOptions o = {.size = sizeof o, .progress = progress_bar};
    StrList overrides = {0};
    const char *output = NULL;
    const char *emit = "blob", *weights = NULL, *kvs = NULL;
    int64_t context = 0, variant = 0;
    bool ternary_dense = false, fold = false;
    char place[4096], families[200];
    TuneFlags tune = {0};
    int64_t threads = 0;
    const Flag flags[] = {
        {"-m --model", "FILE", FLAG_STR, &source.path, 0, 0,
         "the model, if not given as a word; default: the embedded one"},
        {"-o --output", "FILE", FLAG_STR, &output, 0, 0,
         "the blob; - is standard output; with another --emit the text (default: standard output)"},
        {"--emit", "KIND", FLAG_STR, &emit, 0, 0, emit_help()},
        {"--runtime", "FILE", FLAG_STR, &o.program, 0, 0,
         "--emit exe: the static program tern, of this version, for the machine of the levels; default: "
         "tern-static.MACHINE beside tern"},
        {"--weights", "FILE.gguf", FLAG_STR, &weights, 0, 0,
         "the tensors of a .tir (a graph as text, stage=model); default: the embedded model's"},
        {"--variant", "N", FLAG_INT, &variant, 0, 1000,
         "--emit dot: which graph, from 0 (default: the first, one row)"},
        {"--fold-layers", NULL, FLAG_BOOL, &fold, 0, 0, "--emit dot: draw repeated layers once"},
        {"--family", "NAME", FLAG_STR, &o.family, 0, 0, family_help(families, "--levels")},
        {"--levels --cpu", "LEVELS", FLAG_STR, &o.levels, 0, 0,
         TN_LEVEL_NAMES_THEN(", " TN_LEVEL_REF_NAME
                             ": a comma list of levels to compile for; default: all that this machine has")},
        {"-c --ctx-size", "N", FLAG_INT, &context, 1, 1 << 24, "largest context; default: the model's"},
        {"--kv", "LIST", FLAG_STR, &kvs, 0, 0,
         (&(TN_KVS(
             TN_KVTYPE_COMMA_NAME) ": a comma list of KV cache types to compile for; default: all")[2])},
        {"--head", "TYPE", FLAG_STR, &o.head, 0, 0,
         "f32, f16: convert the embedding and head tables; q8, q6: keep them, and store a copy of 8 or 6 "
         "bits "
         "that shortlists the best ids, same ids; default: keep them without loss"},
        {"--target", "NAME", FLAG_STR, &o.target, 0, 0, target_help()},
        {"--override-kv", "KEY=TYPE:VALUE", FLAG_LIST, &overrides, 0, 0,
         "replace a metadata key; TYPE is int, float, bool or str"},
        {"--ternary-dense", NULL, FLAG_BOOL, &ternary_dense, 0, 0,
         "run block weights that are stored dense as ternary; refused unless all are -s, 0 or s"},
        {"--i2s-layout", "NAME", FLAG_STR, &source.i2s_layout, 0, 0, I2S_LAYOUT_HELP},
        TUNE_FLAGS(tune),
        {"-t --threads", "N", FLAG_INT, &threads, 1, 1024,
         "thread count to --tune for (default: all processors, or as many as the CPU quota allows)"},
        FLAG_END,
    };
    int n_words;
    parse_args(verb, flags, argc, argv, &source.path, 1, &n_words);
    check_compile(verb, emit,
                  &(CompileFlags){&variant, &fold, &context, &kvs, &weights, &o, &overrides, &ternary_dense,
                                  &source.i2s_layout, source.path});
    if (threads && !tune.seconds) usage_error(verb, "-t goes with --tune: a blob runs with any number");
    bool exe = strcmp(emit, "exe") == 0, object = strcmp(emit, "blob-obj") == 0;
    bool blob = exe || object || strcmp(emit, "blob") == 0, code = tn_target_lists(emit);
    bool picture = strcmp(emit, "tir") == 0 || strcmp(emit, "json") == 0 || strcmp(emit, "dot") == 0;
    if (tune.seconds && !blob) usage_error(verb, "--tune goes with --emit blob");
    if (!blob && !code && !picture)
        usage_error(verb, "--emit: got '%s', expected one of blob, exe, blob-obj, tir, json, dot%s%s", emit,
                    *tn_target_listings() ? ", " : "", tn_target_listings());
    if (blob && !output) usage_error(verb, "missing -o FILE");
    only_with(verb, &o.program, exe, "--emit exe");
    if (exe || object) o.form = exe ? "exe" : "obj";
    if (exe && !o.program && !(o.program = static_program(machine_of_levels(o.levels), place, sizeof place)))
        return fail_text("no tern-static.%s beside tern, expected a static program: give --runtime FILE",
                         machine_of_levels(o.levels));
    if (weights && !picture && !is_tir(source.path)) usage_error(verb, "--weights goes with a .tir");
    TnUse kind = blob || strcmp(emit, "obj") == 0 ? TN_FILE_BINARY : TN_FILE_OUT;
    const TnFileUse files[] = {{"the model", source.path, TN_FILE_MODEL},
                               {"--weights", weights, TN_FILE_IN},
                               {"--runtime", o.program, TN_FILE_IN},
                               {"-o", output ? output : "-", kind},
                               TUNE_FILE(tune)};
    if (check_files(verb, files, TN_COUNT(files)) != EXIT_OK) return EXIT_INPUT;
    source.overrides = overrides.v;
    source.n_overrides = overrides.n;
    source.ternary_dense = ternary_dense;
    if (picture) {
        TerncPicture p = {.size = sizeof p,
                          .path = source.path,
                          .source = &source,
                          .format = emit,
                          .levels = o.levels             ? o.levels
                                    : *tern_cpu_levels() ? tern_cpu_levels()
                                                         : TN_LEVEL_REF_NAME,
                          .head = o.head,
                          .variant = (uint32_t)variant,
                          .fold_layers = fold};
        return show_picture(&p, output, false);
    }
    if (is_tir(source.path)) {
        source.tir = source.path;
        source.path = weights;
    }
    o.context = (uint32_t)context;
    if (kvs) o.kvs = parse_kvs(verb, kvs);
    TernError err = {0};
    if (code) {
        TextOut out = {.path = output};
        TernStatus st = ternc()->emit(&source, &o, emit, take_text, &out, &err);
        progress_end();
        if (st == TERN_OK && (st = out.status) != TERN_OK) err = out.err;
        return st == TERN_OK ? EXIT_OK : fail(&err);
    }
    if (threads) check_threads(verb, flag_given(&threads), threads);
    set_tuning(verb, &tune, threads, &o);
    TerncReport r;
    TernStatus st = ternc()->compile(&source, &o, output, &r, &err);
    progress_end();
    if (st != TERN_OK) return fail(&err);
    const char *name = strcmp(output, "-") == 0 ? "standard output" : output;
    fprintf(stderr, "%s: %.1f MB for %s\n", tn_listed(name).s, MB(r.file_bytes), r.levels);
    fprintf(stderr, "  weights %10.1f MB   %6.2f s\n", MB(r.weight_bytes), r.seconds_weights);
    fprintf(stderr, "  code    %10.3f MB   %6.2f s   %u kernels in %u variants, %u different\n",
            MB(r.code_bytes), r.seconds_codegen, r.n_kernels, r.n_variants, r.n_unique);
    if (*r.refused) fprintf(stderr, "          %s\n", r.refused);
    fprintf(stderr, "  ir      %10.3f MB   %6.2f s   passes\n", MB(r.tir_bytes), r.seconds_passes);
    if (tune.seconds) fprintf(stderr, "  tuning                  %6.2f s\n", r.seconds_tune);
    fprintf(stderr, "  meta    %10.3f MB\n  total               %8.2f s   peak memory %.0f MB\n",
            MB(r.meta_bytes), r.seconds, MB(tn_os_peak_rss()));
    return EXIT_OK;
}

/* Whether a file may be a graph as text. A text may have any name; unless it ends in .tir, its first byte
 * decides. */
static bool is_text(const char *path) {
    char first;
    struct stat st;
    if (!path || is_tir(path)) return true;
    FILE *f = stat(path, &st) == 0 && S_ISREG(st.st_mode) ? fopen(path, "rb") : NULL;
    bool text = f && fread(&first, 1, 1, f) == 1 && (unsigned char)first < 0x80 && !is_gguf(path);
    if (f) fclose(f);
    return text;
}

int verb_opt(const Verb *verb, int argc, char **argv) {
    TerncSource source = {.size = sizeof source, .note = print_note};
    TerncOpt o = {.size = sizeof o, .source = &source};
    StrList overrides = {0};
    TextOut out = {0};
    const char *rows = NULL, *kv = NULL;
    bool ternary_dense = false, times = false, verify = false, ranges = false, effort[3] = {false};
    int64_t variant = -1;
    char families[200];
    const Flag flags[] = {
        {"-m --model", "FILE", FLAG_STR, &o.path, 0, 0,
         "the input, if not given as a word; default: the embedded model; -: a text on standard input"},
        {"--variant", "N", FLAG_INT, &variant, 0, 255,
         "which of several graphs, from 0; default for a .tern: the first that matches --cpu, --kv and "
         "--rows"},
        {"--passes", "LIST", FLAG_TEXT, &o.passes, 0, 0,
         "comma list of passes to run, in order; empty: none; default: the rest of the pipeline"},
        {"-O0", NULL, FLAG_BOOL, &effort[0], 0, 0,
         "run only the passes that a target needs: fuse, layout, tile, plan"},
        {"-O1", NULL, FLAG_BOOL, &effort[1], 0, 0, "run fold, cse and dce before those"},
        {"-O2 -O3", NULL, FLAG_BOOL, &effort[2], 0, 0, "run all passes (default)"},
        {"--dump-after", "LIST", FLAG_STR, &o.dump_after, 0, 0,
         "also print the graph after these passes, or `all`; with `changed` in the list, only if it changed"},
        {"--verify-each", NULL, FLAG_BOOL, &verify, 0, 0,
         "after each pass also parse the printed text and compare (the verifier always runs)"},
        {"--ranges", NULL, FLAG_BOOL, &ranges, 0, 0,
         "add comments with the ranges of integers and the largest K for which sums are exact"},
        {"-o --output", "FILE", FLAG_STR, &out.path, 0, 0,
         "where the result goes; - (default) is standard output"},
        {"--cpu", "LEVEL", FLAG_STR, &o.level, 0, 0,
         "feature level for fuse, layout, tile and plan; default: this machine's best"},
        {"--family", "NAME", FLAG_STR, &o.family, 0, 0, family_help(families, "--cpu")},
        {"--kv", "TYPE", FLAG_STR, &kv, 0, 0, "KV cache: f16 (default), f32 or i8"},
        {"--rows", "LO..HI", FLAG_STR, &rows, 0, 0, "batch class (default 1)"},
        {"--head", "TYPE", FLAG_STR, &o.head, 0, 0,
         "f32, f16: convert the embedding and head tables; q8, q6: keep them, and store a copy of 8 or 6 "
         "bits "
         "that shortlists the best ids, same ids; default: keep them without loss"},
        {"--time-passes", NULL, FLAG_BOOL, &times, 0, 0, "print the time of every pass"},
        {"--override-kv", "KEY=TYPE:VALUE", FLAG_LIST, &overrides, 0, 0, "replace a metadata key of a .gguf"},
        {"--ternary-dense", NULL, FLAG_BOOL, &ternary_dense, 0, 0,
         "take block weights that are stored dense as ternary"},
        {"--i2s-layout", "NAME", FLAG_STR, &source.i2s_layout, 0, 0, I2S_LAYOUT_HELP},
        FLAG_END,
    };
    int n_words;
    parse_args(verb, flags, argc, argv, &o.path, 1, &n_words);
    only_of_gguf(verb, o.path, &overrides);
    only_of_gguf(verb, o.path, &ternary_dense);
    only_of_gguf(verb, o.path, &source.i2s_layout);
    if (rows) parse_rows(verb, rows, &o.rows_lo, &o.rows_hi);
    if (kv) o.kv = parse_kv(verb, kv);
    o.times = times;
    o.verify_each = verify;
    o.ranges = ranges;
    o.variant = (uint32_t)(variant + 1);
    if (effort[0] + effort[1] + effort[2] > 1) usage_error(verb, "-O0, -O1, -O2 and -O3 exclude each other");
    o.effort = effort[0] ? "O0" : effort[1] ? "O1" : effort[2] ? "O3" : NULL;
    if (o.effort && o.passes) usage_error(verb, "-%s and --passes exclude each other", o.effort);
    source.overrides = overrides.v;
    source.n_overrides = overrides.n;
    source.ternary_dense = ternary_dense;
    TernError err = {0};
    const TnFileUse files[] = {
        {"the graph", o.path, is_text(o.path) ? TN_FILE_TEXT : TN_FILE_MODEL},
        {"-o", out.path, TN_FILE_OUT},
        {"standard output", !out.path || o.dump_after ? "-" : NULL, TN_FILE_OUT},
    };
    if (check_files(verb, files, TN_COUNT(files)) != EXIT_OK) return EXIT_INPUT;
    TernStatus st = ternc()->opt(&o, take_text, &out, &err);
    if (st == TERN_OK && (st = out.status) != TERN_OK) err = out.err;
    return st == TERN_OK ? EXIT_OK : fail(&err);
}

int verb_eval(const Verb *verb, int argc, char **argv) {
    TerncEval o = {.size = sizeof o};
    int64_t rows = 0, variant = 0;
    const Flag flags[] = {
        {"--rows", "N", FLAG_INT, &rows, 1, 64,
         "rows of the step, for symbols T, R, K and H (default: the graph's own, else 2)"},
        {"--weights", "FILE.gguf", FLAG_STR, &o.weights, 0, 0, "the tensors of gguf nodes"},
        {"--variant", "N", FLAG_INT, &variant, 0, 1000, "which of several graphs, from 0 (default)"},
        FLAG_END,
    };
    int n_words;
    parse_args(verb, flags, argc, argv, &o.path, 1, &n_words);
    if (!o.path) usage_error(verb, "missing a graph");
    o.rows = (uint32_t)rows;
    o.variant = (uint32_t)variant;
    TernError err = {0};
    TextOut out = {0};
    const TnFileUse files[] = {
        {"the graph", o.path, TN_FILE_IN}, {"--weights", o.weights, TN_FILE_IN}, STANDARD_OUTPUT};
    if (check_files(verb, files, TN_COUNT(files)) != EXIT_OK) return EXIT_INPUT;
    return ternc()->eval(&o, take_text, &out, &err) == TERN_OK ? EXIT_OK : fail(&err);
}

static int show_report(const TerncSource *source, const char *json, bool probe) {
    TerncImport o = {.size = sizeof o,
                     .source = source,
                     .json = json != NULL,
                     .progress = progress_bar,
                     .i2s_probe = probe};
    TextOut out = {.path = json && *json ? json : NULL};
    TernError err = {0};
    TernStatus st = ternc()->import(&o, take_text, &out, &err);
    progress_end();
    if (st == TERN_OK && (st = out.status) != TERN_OK) err = out.err;
    return st == TERN_OK ? EXIT_OK : fail(&err);
}

/* Everything but a plain blob and --memory of one needs the compiler library. */
static void need_compiler(const char *what) {
    const TerncCalls *found;
    TernError err = {0};
    TernStatus st = find_ternc(&found, &err);
    if (st == TERN_OK) return;
    tn_fail_in(&err, st, "%s", what);
    exit(fail(&err));
}

int verb_inspect(const Verb *verb, int argc, char **argv) {
    const char *model = NULL, *dot = NULL, *svg = NULL, *json = NULL;
    int64_t layer = -1, variant = 0;
    bool fold = false, report = false, probe = false, ternary_dense = false, memory = false;
    MemoryFlags mem = {.slots = 1};
    TerncPicture p = {.size = sizeof p};
    TerncSource source = {.size = sizeof source, .note = print_note};
    StrList overrides = {0};
    const Flag flags[] = {
        {"-m --model", "FILE", FLAG_STR, &model, 0, 0,
         "the file, if not given as a word; default: the embedded model"},
        {"--report", NULL, FLAG_BOOL, &report, 0, 0,
         "for a .gguf: who wrote it, what is inferred and ignored, ternary statistics, memory, what would "
         "run"},
        {"--memory", NULL, FLAG_BOOL, &memory, 0, 0,
         "how much memory the model and a session take: resident, touched by each token, reserved"},
        {"-c --ctx-size", "N", FLAG_INT, &mem.context, 1, 1 << 24,
         "memory: context in positions (the model's, but at most 4096)"},
        {"--kv", "TYPE", FLAG_STR, &mem.m.kv, 0, 0, "memory: KV cache: f16 (default), f32 or i8"},
        {"--slots", "N", FLAG_INT, &mem.slots, 1, 65536, "memory: sequences held at once (1)"},
        {"-t --threads", "N", FLAG_INT, &mem.m.threads, 1, 1024, "memory: worker threads, as of tern run"},
        {"--cpu", "LEVEL", FLAG_STR, &mem.m.cpu, 0, 0,
         TN_LEVEL_CPU_NAMES_THEN(
             ": memory: the highest level to look at; default: the best that runs here, else the best")},
        {"--head", "TYPE", FLAG_STR, &mem.m.head, 0, 0, "memory of a .gguf: as of tern run"},
        {"--no-keep", NULL, FLAG_BOOL, &mem.m.no_keep, 0, 0, "memory of a .gguf: as of tern run"},
        {"--dot", "FILE", FLAG_OPT, &dot, 0, 0, "the graph in Graphviz' language, for a .tir too"},
        {"--svg", "FILE", FLAG_OPT, &svg, 0, 0, "the graph as a picture (needs Graphviz' program dot)"},
        {"--json", "FILE", FLAG_OPT, &json, 0, 0, "the graphs as json; with --report, the report"},
        {"--fold-layers", NULL, FLAG_BOOL, &fold, 0, 0, "picture: draw repeated layers once"},
        {"--layer", "N", FLAG_INT, &layer, 0, 100000, "picture: draw only this layer"},
        {"--variant", "N", FLAG_INT, &variant, 0, 1000, "picture: which of several graphs, from 0 (default)"},
        {"--profile", "FILE", FLAG_STR, &p.profile, 0, 0,
         "picture: colour kernels by the times in a profile's json"},
        {"--override-kv", "KEY=TYPE:VALUE", FLAG_LIST, &overrides, 0, 0, "report: replace a metadata key"},
        {"--ternary-dense", NULL, FLAG_BOOL, &ternary_dense, 0, 0,
         "report: take block weights that are stored dense as ternary"},
        {"--i2s-layout", "NAME", FLAG_STR, &source.i2s_layout, 0, 0, "report: " I2S_LAYOUT_HELP},
        {"--i2s-probe", NULL, FLAG_BOOL, &probe, 0, 0,
         "report: find out how I2_S tensors lie, by the loss of a fixed English text under each layout"},
        FLAG_END,
    };
    int n_words;
    parse_args(verb, flags, argc, argv, &model, 1, &n_words);
    if ((dot != NULL) + (svg != NULL) + (json != NULL) > 1)
        usage_error(verb, "one of --dot, --svg and --json at a time");
    const char *flag = dot ? "--dot" : svg ? "--svg" : "--json", *output = dot ? dot : svg ? svg : json;
    const TnFileUse files[] = {{"the model", model, TN_FILE_MODEL},
                               {"--profile", p.profile, TN_FILE_IN},
                               {flag, output ? output : "-", TN_FILE_OUT}};
    if (check_files(verb, files, TN_COUNT(files)) != EXIT_OK) return EXIT_INPUT;
    const void *const sizes[] = {&mem.context, &mem.m.kv,   &mem.slots,    &mem.m.threads,
                                 &mem.m.cpu,   &mem.m.head, &mem.m.no_keep};
    for (size_t i = 0; i < TN_COUNT(sizes); i++) only_with(verb, sizes[i], memory, "--memory");
    if (memory) {
        if (report || output || fold || layer >= 0 || p.profile || flag_given(&variant) || overrides.n ||
            ternary_dense || source.i2s_layout || probe)
            usage_error(verb, "--memory goes with -c, --kv, --slots, -t, --cpu, --head and --no-keep alone");
        mem.m.model = model;
        return show_memory(verb, &mem);
    }
    source.path = model;
    source.overrides = overrides.v;
    source.n_overrides = overrides.n;
    source.ternary_dense = ternary_dense;
    if (report) {
        if (dot || svg || fold || layer >= 0 || p.profile || flag_given(&variant))
            usage_error(verb, "--report goes with --json alone");
        need_compiler("--report");
        return show_report(&source, json, probe);
    }
    if (overrides.n || ternary_dense || source.i2s_layout || probe)
        usage_error(verb, "--override-kv, --ternary-dense, --i2s-layout and --i2s-probe go with --report");
    const void *const drawing[] = {&fold, &layer, &variant, &p.profile};
    for (size_t i = 0; i < TN_COUNT(drawing); i++) only_with(verb, drawing[i], dot || svg, "--dot or --svg");
    if (fold && layer >= 0) usage_error(verb, "--fold-layers and --layer exclude each other");
    if (dot || svg || json) {
        need_compiler(flag);
        p.path = model;
        p.format = json ? "json" : "dot";
        p.fold_layers = fold;
        p.one_layer = layer >= 0;
        p.layer = layer >= 0 ? (int)layer : 0;
        p.variant = (uint32_t)variant;
        return show_picture(&p, output, svg != NULL);
    }
    if (is_blob(model) && !ternc_present()) return list_blob(model);
    need_compiler(model ? model : "the embedded model");
    TernError err = {0};
    TextOut out = {0};
    return ternc()->inspect(model, take_text, &out, &err) == TERN_OK ? EXIT_OK : fail(&err);
}
