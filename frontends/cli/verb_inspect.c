/* tern inspect: what a model file is, its graphs as tables and pictures, and the memory that it takes. */
#include <stdlib.h>
#include "frontends/cli/inspect.h"
#include "frontends/cli/text_out.h"

/* What the flags say. */
typedef struct Inspect {
    const char *model, *dot, *svg, *json, *profile;
    int64_t layer, variant; /* layer -1: all */
    bool fold, report, probe, ternary_dense, memory;
    MemoryFlags mem;
    TerncSource source;
    StrList overrides;
} Inspect;

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
    return text_ended(st, &err, &out);
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

static void read_flags(const Verb *verb, int argc, char **argv, Inspect *c) {
    const Flag flags[] = {
        {"-m --model", "FILE", FLAG_STR, &c->model, 0, 0,
         "the file, if not given as a word; default: the embedded model"},
        {"--report", NULL, FLAG_BOOL, &c->report, 0, 0,
         "for a .gguf: who wrote it, what is inferred and ignored, ternary statistics, memory, what would "
         "run"},
        {"--memory", NULL, FLAG_BOOL, &c->memory, 0, 0,
         "how much memory the model and a session take: resident, touched by each token, reserved"},
        {"-c --ctx-size", "N", FLAG_INT, &c->mem.context, 1, 1 << 24,
         "memory: context in positions (the model's, but at most 4096)"},
        {"--kv", "TYPE", FLAG_STR, &c->mem.m.kv, 0, 0, "memory: KV cache: f16 (default), f32 or i8"},
        {"--slots", "N", FLAG_INT, &c->mem.slots, 1, 65536, "memory: sequences held at once (1)"},
        {"-t --threads", "N", FLAG_INT, &c->mem.m.threads, 1, 1024, "memory: worker threads, as of tern run"},
        {"--cpu", "LEVEL", FLAG_STR, &c->mem.m.cpu, 0, 0,
         TN_LEVEL_CPU_NAMES_THEN(
             ": memory: the highest level to look at; default: the best that runs here, else the best")},
        {"--head", "TYPE", FLAG_STR, &c->mem.m.head, 0, 0, "memory of a .gguf: as of tern run"},
        {"--no-keep", NULL, FLAG_BOOL, &c->mem.m.no_keep, 0, 0, "memory of a .gguf: as of tern run"},
        {"--dot", "FILE", FLAG_OPT, &c->dot, 0, 0, "the graph in Graphviz' language, for a .tir too"},
        {"--svg", "FILE", FLAG_OPT, &c->svg, 0, 0, "the graph as a picture (needs Graphviz' program dot)"},
        {"--json", "FILE", FLAG_OPT, &c->json, 0, 0, "the graphs as json; with --report, the report"},
        {"--fold-layers", NULL, FLAG_BOOL, &c->fold, 0, 0, "picture: draw repeated layers once"},
        {"--layer", "N", FLAG_INT, &c->layer, 0, 100000, "picture: draw only this layer"},
        {"--variant", "N", FLAG_INT, &c->variant, 0, 1000,
         "picture: which of several graphs, from 0 (default)"},
        {"--profile", "FILE", FLAG_STR, &c->profile, 0, 0,
         "picture: colour kernels by the times in a profile's json"},
        {"--override-kv", "KEY=TYPE:VALUE", FLAG_LIST, &c->overrides, 0, 0, "report: replace a metadata key"},
        {"--ternary-dense", NULL, FLAG_BOOL, &c->ternary_dense, 0, 0,
         "report: take block weights that are stored dense as ternary"},
        {"--i2s-layout", "NAME", FLAG_STR, &c->source.i2s_layout, 0, 0, "report: " I2S_LAYOUT_HELP},
        {"--i2s-probe", NULL, FLAG_BOOL, &c->probe, 0, 0,
         "report: find out how I2_S tensors lie, by the loss of a fixed English text under each layout"},
        FLAG_END,
    };
    int n_words;
    parse_args(verb, flags, argc, argv, &c->model, 1, &n_words);
    if ((c->dot != NULL) + (c->svg != NULL) + (c->json != NULL) > 1)
        usage_error(verb, "one of --dot, --svg and --json at a time");
    const void *const sizes[] = {&c->mem.context, &c->mem.m.kv,   &c->mem.slots,    &c->mem.m.threads,
                                 &c->mem.m.cpu,   &c->mem.m.head, &c->mem.m.no_keep};
    for (size_t i = 0; i < TN_COUNT(sizes); i++) only_with(verb, sizes[i], c->memory, "--memory");
}

/* Refuses flags that have no effect on what is asked for. */
static void check_used(const Verb *verb, const Inspect *c) {
    bool source = c->overrides.n || c->ternary_dense || c->source.i2s_layout || c->probe;
    bool drawing = c->fold || c->layer >= 0 || c->profile || flag_given(&c->variant);
    if (c->memory && (c->report || c->json || c->dot || c->svg || drawing || source))
        usage_error(verb, "--memory goes with -c, --kv, --slots, -t, --cpu, --head and --no-keep alone");
    if (c->memory) return;
    if (c->report && (c->dot || c->svg || drawing)) usage_error(verb, "--report goes with --json alone");
    if (c->report) return;
    if (source)
        usage_error(verb, "--override-kv, --ternary-dense, --i2s-layout and --i2s-probe go with --report");
    const void *const of_pictures[] = {&c->fold, &c->layer, &c->variant, &c->profile};
    for (size_t i = 0; i < TN_COUNT(of_pictures); i++)
        only_with(verb, of_pictures[i], c->dot || c->svg, "--dot or --svg");
    if (c->fold && c->layer >= 0) usage_error(verb, "--fold-layers and --layer exclude each other");
}

static int write_picture(const Inspect *c, const char *output) {
    TerncPicture p = {.size = sizeof p,
                      .path = c->model,
                      .format = c->json ? "json" : "dot",
                      .profile = c->profile,
                      .fold_layers = c->fold,
                      .one_layer = c->layer >= 0,
                      .layer = c->layer >= 0 ? (int)c->layer : 0,
                      .variant = (uint32_t)c->variant};
    return show_picture(&p, output, c->svg != NULL);
}

static int list_graphs(const char *model) {
    TernError err = {0};
    TextOut out = {0};
    return text_ended(ternc()->inspect(model, take_text, &out, &err), &err, &out);
}

int verb_inspect(const Verb *verb, int argc, char **argv) {
    Inspect c = {.layer = -1, .mem = {.slots = 1}, .source = {.size = sizeof c.source, .note = print_note}};
    read_flags(verb, argc, argv, &c);
    const char *flag = c.dot ? "--dot" : c.svg ? "--svg" : "--json";
    const char *output = c.dot ? c.dot : c.svg ? c.svg : c.json;
    const TnFileUse files[] = {{"the model", c.model, TN_FILE_MODEL},
                               {"--profile", c.profile, TN_FILE_IN},
                               {flag, output ? output : "-", TN_FILE_OUT}};
    if (check_files(verb, files, TN_COUNT(files)) != EXIT_OK) return EXIT_INPUT;
    check_used(verb, &c);
    if (c.memory) {
        c.mem.m.model = c.model;
        return show_memory(verb, &c.mem);
    }
    c.source.path = c.model;
    c.source.overrides = c.overrides.v;
    c.source.n_overrides = c.overrides.n;
    c.source.ternary_dense = c.ternary_dense;
    if (c.report || output) need_compiler(c.report ? "--report" : flag);
    if (c.report) return show_report(&c.source, c.json, c.probe);
    if (output) return write_picture(&c, output);
    if (is_blob(c.model) && !ternc_present()) return list_blob(c.model);
    need_compiler(c.model ? c.model : "the embedded model");
    return list_graphs(c.model);
}
