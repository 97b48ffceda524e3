/* tern compile: a model to a blob, a program or an object with the blob in it, or a text of what would be compiled. */
#include <string.h>
#include "frontends/cli/text_out.h"
#include "runtime/base/escape.h"

#define MB(bytes) ((double)(bytes) / 1e6)

/* What the flags say. */
typedef struct Compile {
    TerncSource source;
    TerncOptions o;
    StrList overrides;
    const char *output, *emit, *weights, *kvs;
    int64_t context, variant, threads;
    bool ternary_dense, fold;
    TuneFlags tune;
    char place[4096];                /* of the static program */
    bool exe, object, code, picture; /* what --emit asks for */
    bool blob;                       /* plain, or in an exe or an object */
} Compile;

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

/* Refuses flags that the kind of --emit does not use. */
static void check_used(const Verb *verb, const Compile *c) {
    bool dot = strcmp(c->emit, "dot") == 0;
    only_with(verb, &c->variant, dot, "--emit dot");
    only_with(verb, &c->fold, dot, "--emit dot");
    const void *const compiled[] = {&c->context, &c->kvs, &c->weights, &c->o.target};
    for (size_t i = 0; i < TN_COUNT(compiled); i++)
        only_with(verb, compiled[i], !c->picture, "--emit blob or code");
    if (c->picture) {
        only_of_gguf(verb, c->source.path, &c->overrides);
        only_of_gguf(verb, c->source.path, &c->ternary_dense);
        only_of_gguf(verb, c->source.path, &c->source.i2s_layout);
    }
    const char *levels = c->o.levels, *target = c->o.target;
    bool ref = tn_target_evaluates(target), no_level = levels && strcmp(levels, TN_LEVEL_REF_NAME) == 0;
    only_with(verb, &c->o.levels, !ref || no_level, "compiled code: the target makes none");
    if (c->code && levels && strchr(levels, ','))
        note("%s: '%s' has no effect with --emit %s, which shows the first level", flag_given(&c->o.levels),
             strchr(levels, ',') + 1, c->emit);
}

static void check_flags(const Verb *verb, Compile *c) {
    c->exe = strcmp(c->emit, "exe") == 0;
    c->object = strcmp(c->emit, "blob-obj") == 0;
    c->blob = c->exe || c->object || strcmp(c->emit, "blob") == 0;
    c->code = tn_target_lists(c->emit);
    c->picture = strcmp(c->emit, "tir") == 0 || strcmp(c->emit, "json") == 0 || strcmp(c->emit, "dot") == 0;
    check_used(verb, c);
    if (c->threads && !c->tune.seconds) usage_error(verb, "-t goes with --tune: a blob runs with any number");
    if (c->tune.seconds && !c->blob) usage_error(verb, "--tune goes with --emit blob");
    if (!c->blob && !c->code && !c->picture)
        usage_error(verb, "--emit: got '%s', expected one of blob, exe, blob-obj, tir, json, dot%s%s",
                    c->emit, *tn_target_listings() ? ", " : "", tn_target_listings());
    if (c->blob && !c->output) usage_error(verb, "missing -o FILE");
    only_with(verb, &c->o.program, c->exe, "--emit exe");
    if (c->weights && !c->picture && !is_tir(c->source.path)) usage_error(verb, "--weights goes with a .tir");
}

/* The machine of the first of these levels, for the name of a file; this machine's if there is none. */
static const char *machine_of_levels(const char *levels) {
    char name[32];
    snprintf(name, sizeof name, "%.*s", levels ? (int)strcspn(levels, ",") : 0, levels ? levels : "");
    const TnLevelRow *row = tn_level_named(name);
    return (row ? row->arch : TN_ARCH_HERE) == TN_ARCH_AARCH64 ? "aarch64" : "x86-64";
}

/* Finds the static program of --emit exe, and checks all files. Returns an exit status. */
static int check_paths(const Verb *verb, Compile *c) {
    TerncOptions *o = &c->o;
    if (c->exe && !o->program) {
        const char *machine = machine_of_levels(o->levels);
        o->program = static_program(machine, c->place, sizeof c->place);
        if (!o->program)
            return fail_text(
                "no tern-static.%s beside tern, expected a static program: build it (./dev build%s) "
                "or give --runtime FILE",
                machine, strcmp(machine, "aarch64") == 0 ? " --target aarch64" : "");
    }
    TnUse kind = c->blob || strcmp(c->emit, "obj") == 0 ? TN_FILE_BINARY : TN_FILE_OUT;
    const TnFileUse files[] = {{"the model", c->source.path, TN_FILE_MODEL},
                               {"--weights", c->weights, TN_FILE_IN},
                               {"--runtime", o->program, TN_FILE_IN},
                               {"-o", c->output ? c->output : "-", kind},
                               TUNE_FILE(c->tune)};
    return check_files(verb, files, TN_COUNT(files));
}

static int write_picture(const Compile *c) {
    const char *here = *tern_cpu_levels() ? tern_cpu_levels() : TN_LEVEL_REF_NAME;
    TerncPicture p = {.size = sizeof p,
                      .path = c->source.path,
                      .source = &c->source,
                      .format = c->emit,
                      .levels = c->o.levels ? c->o.levels : here,
                      .family = c->o.family || c->o.levels ? c->o.family : TN_FAMILY_HERE,
                      .head = c->o.head,
                      .variant = (uint32_t)c->variant,
                      .fold_layers = c->fold};
    return show_picture(&p, c->output, false);
}

static int write_code(const Compile *c) {
    TernError err = {0};
    TextOut out = {.path = c->output};
    TernStatus st = ternc()->emit(&c->source, &c->o, c->emit, take_text, &out, &err);
    progress_end();
    return text_ended(st, &err, &out);
}

static int write_blob(const Verb *verb, Compile *c) {
    if (c->threads) check_threads(verb, flag_given(&c->threads), c->threads, false);
    set_tuning(verb, &c->tune, c->threads, &c->o);
    if (c->exe || c->object) c->o.form = c->exe ? "exe" : "obj";
    TernError err = {0};
    TerncReport r;
    TernStatus st = ternc()->compile(&c->source, &c->o, c->output, &r, &err);
    progress_end();
    if (st != TERN_OK) return fail(&err);
    const char *name = strcmp(c->output, "-") == 0 ? "standard output" : c->output;
    fprintf(stderr, "%s: %.1f MB for %s\n", tn_listed(name).s, MB(r.file_bytes), r.levels);
    fprintf(stderr, "  weights %10.1f MB   %6.2f s\n", MB(r.weight_bytes), r.seconds_weights);
    fprintf(stderr, "  code    %10.3f MB   %6.2f s   %u kernels in %u variants, %u different\n",
            MB(r.code_bytes), r.seconds_codegen, r.n_kernels, r.n_variants, r.n_unique);
    if (*r.refused) fprintf(stderr, "          %s\n", r.refused);
    fprintf(stderr, "  ir      %10.3f MB   %6.2f s   passes\n", MB(r.tir_bytes), r.seconds_passes);
    if (c->tune.seconds) fprintf(stderr, "  tuning                  %6.2f s\n", r.seconds_tune);
    fprintf(stderr, "  meta    %10.3f MB\n  total               %8.2f s   peak memory %.0f MB\n",
            MB(r.meta_bytes), r.seconds, MB(tn_os_peak_rss()));
    return EXIT_OK;
}

static void read_flags(const Verb *verb, int argc, char **argv, Compile *c) {
    char families[200];
    TerncOptions *o = &c->o;
    const Flag flags[] = {
        {"-m --model", "FILE", FLAG_STR, &c->source.path, 0, 0,
         "the model, if not given as a word; default: the embedded one"},
        {"-o --output", "FILE", FLAG_STR, &c->output, 0, 0,
         "the blob; - is standard output; with another --emit the text (default: standard output)"},
        {"--emit", "KIND", FLAG_STR, &c->emit, 0, 0, emit_help()},
        {"--runtime", "FILE", FLAG_STR, &o->program, 0, 0,
         "--emit exe: the static program tern, of this version, for the machine of the levels; default: "
         "tern-static.MACHINE beside tern"},
        {"--weights", "FILE.gguf", FLAG_STR, &c->weights, 0, 0,
         "the tensors of a .tir (a graph as text, stage=model); default: the embedded model's"},
        {"--variant", "N", FLAG_INT, &c->variant, 0, 1000,
         "--emit dot: which graph, from 0 (default: the first, one row)"},
        {"--fold-layers", NULL, FLAG_BOOL, &c->fold, 0, 0, "--emit dot: draw repeated layers once"},
        {"--family", "NAME", FLAG_STR, &o->family, 0, 0, family_help(families, "--levels")},
        {"--levels --cpu", "LEVELS", FLAG_STR, &o->levels, 0, 0,
         TN_LEVEL_NAMES_THEN(", " TN_LEVEL_REF_NAME
                             ": a comma list of levels to compile for; default: all that this machine has")},
        {"-c --ctx-size", "N", FLAG_INT, &c->context, 1, 1 << 24, "largest context; default: the model's"},
        {"--kv", "LIST", FLAG_STR, &c->kvs, 0, 0,
         (&(TN_KVS(
             TN_KVTYPE_COMMA_NAME) ": a comma list of KV cache types to compile for; default: all")[2])},
        {"--head", "TYPE", FLAG_STR, &o->head, 0, 0,
         "f32, f16: convert the embedding and head tables; q8, q6, q5: keep them, and store a copy of 8, 6 "
         "or 5 bits that shortlists the best ids, same ids; default: keep them without loss"},
        {"--target", "NAME", FLAG_STR, &o->target, 0, 0, target_help()},
        {"--override-kv", "KEY=TYPE:VALUE", FLAG_LIST, &c->overrides, 0, 0,
         "replace a metadata key; TYPE is int, float, bool or str"},
        {"--ternary-dense", NULL, FLAG_BOOL, &c->ternary_dense, 0, 0,
         "run block weights that are stored dense as ternary; refused unless all are -s, 0 or s"},
        {"--i2s-layout", "NAME", FLAG_STR, &c->source.i2s_layout, 0, 0, I2S_LAYOUT_HELP},
        TUNE_FLAGS(c->tune),
        {"-t --threads", "N", FLAG_INT, &c->threads, 1, 1024,
         "thread count to --tune for (default: all processors, or as many as the CPU quota allows)"},
        FLAG_END,
    };
    int n_words;
    parse_args(verb, flags, argc, argv, &c->source.path, 1, &n_words);
}

int verb_compile(const Verb *verb, int argc, char **argv) {
    Compile c = {.source = {.size = sizeof c.source, .note = print_note},
                 .o = {.size = sizeof c.o, .progress = progress_bar},
                 .emit = "blob"};
    read_flags(verb, argc, argv, &c);
    check_flags(verb, &c);
    if (check_paths(verb, &c) != EXIT_OK) return EXIT_INPUT;
    c.source.overrides = c.overrides.v;
    c.source.n_overrides = c.overrides.n;
    c.source.ternary_dense = c.ternary_dense;
    if (c.picture) return write_picture(&c);
    if (is_tir(c.source.path)) {
        c.source.tir = c.source.path;
        c.source.path = c.weights;
    }
    c.o.context = (uint32_t)c.context;
    if (c.kvs) c.o.kvs = parse_kvs(verb, c.kvs);
    return c.code ? write_code(&c) : write_blob(verb, &c);
}
