/* tern opt, tern eval: one call of the compiler library on a graph. */
#include <sys/stat.h>
#include "frontends/cli/text_out.h"

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

/* What the flags say. */
typedef struct Opt {
    TerncSource source;
    TerncOpt o;
    StrList overrides;
    const char *output, *rows, *kv;
    int64_t variant; /* -1: not given */
    bool ternary_dense, times, verify, ranges, effort[3];
} Opt;

static void read_flags(const Verb *verb, int argc, char **argv, Opt *c) {
    char families[200];
    const Flag flags[] = {
        {"-m --model", "FILE", FLAG_STR, &c->o.path, 0, 0,
         "the input, if not given as a word; default: the embedded model; -: a text on standard input"},
        {"--variant", "N", FLAG_INT, &c->variant, 0, 255,
         "which of several graphs, from 0; default for a .tern: the first that matches --cpu, --kv and "
         "--rows"},
        {"--passes", "LIST", FLAG_TEXT, &c->o.passes, 0, 0,
         "comma list of passes to run, in order; empty: none; default: the rest of the pipeline"},
        {"-O0", NULL, FLAG_BOOL, &c->effort[0], 0, 0,
         "run only the passes that a target needs: fuse, layout, tile, plan"},
        {"-O1", NULL, FLAG_BOOL, &c->effort[1], 0, 0, "run fold, cse and dce before those"},
        {"-O2 -O3", NULL, FLAG_BOOL, &c->effort[2], 0, 0, "run all passes (default)"},
        {"--dump-after", "LIST", FLAG_STR, &c->o.dump_after, 0, 0,
         "also print the graph after these passes, or `all`; with `changed` in the list, only if it changed"},
        {"--verify-each", NULL, FLAG_BOOL, &c->verify, 0, 0,
         "after each pass also parse the printed text and compare (the verifier always runs)"},
        {"--ranges", NULL, FLAG_BOOL, &c->ranges, 0, 0,
         "add comments with the ranges of integers and the largest K for which sums are exact"},
        {"-o --output", "FILE", FLAG_STR, &c->output, 0, 0,
         "where the result goes; - (default) is standard output"},
        {"--cpu", "LEVEL", FLAG_STR, &c->o.level, 0, 0,
         "feature level for fuse, layout, tile and plan; default: this machine's best"},
        {"--family", "NAME", FLAG_STR, &c->o.family, 0, 0, family_help(families, "--cpu")},
        {"--kv", "TYPE", FLAG_STR, &c->kv, 0, 0, "KV cache: f16 (default), f32 or i8"},
        {"--rows", "LO..HI", FLAG_STR, &c->rows, 0, 0, "batch class (default 1)"},
        {"--head", "TYPE", FLAG_STR, &c->o.head, 0, 0,
         "f32, f16: convert the embedding and head tables; q8, q6, q5: keep them, and store a copy of 8, 6 "
         "or 5 bits that shortlists the best ids, same ids; default: keep them without loss"},
        {"--time-passes", NULL, FLAG_BOOL, &c->times, 0, 0, "print the time of every pass"},
        {"--override-kv", "KEY=TYPE:VALUE", FLAG_LIST, &c->overrides, 0, 0,
         "replace a metadata key of a .gguf"},
        {"--ternary-dense", NULL, FLAG_BOOL, &c->ternary_dense, 0, 0,
         "take block weights that are stored dense as ternary"},
        {"--i2s-layout", "NAME", FLAG_STR, &c->source.i2s_layout, 0, 0, I2S_LAYOUT_HELP},
        FLAG_END,
    };
    int n_words;
    parse_args(verb, flags, argc, argv, &c->o.path, 1, &n_words);
    only_of_gguf(verb, c->o.path, &c->overrides);
    only_of_gguf(verb, c->o.path, &c->ternary_dense);
    only_of_gguf(verb, c->o.path, &c->source.i2s_layout);
}

int verb_opt(const Verb *verb, int argc, char **argv) {
    Opt c = {
        .source = {.size = sizeof c.source, .note = print_note}, .o = {.size = sizeof c.o}, .variant = -1};
    read_flags(verb, argc, argv, &c);
    TerncOpt *o = &c.o;
    if (c.rows) parse_rows(verb, c.rows, &o->rows_lo, &o->rows_hi);
    if (c.kv) o->kv = parse_kv(verb, c.kv);
    o->times = c.times;
    o->verify_each = c.verify;
    o->ranges = c.ranges;
    o->variant = (uint32_t)(c.variant + 1);
    if (c.effort[0] + c.effort[1] + c.effort[2] > 1)
        usage_error(verb, "-O0, -O1, -O2 and -O3 exclude each other");
    o->effort = c.effort[0] ? "O0" : c.effort[1] ? "O1" : c.effort[2] ? "O3" : NULL;
    if (o->effort && o->passes) usage_error(verb, "-%s and --passes exclude each other", o->effort);
    c.source.overrides = c.overrides.v;
    c.source.n_overrides = c.overrides.n;
    c.source.ternary_dense = c.ternary_dense;
    o->source = &c.source;
    TernError err = {0};
    TextOut out = {.path = c.output};
    const TnFileUse files[] = {
        {"the graph", o->path, is_text(o->path) ? TN_FILE_TEXT : TN_FILE_MODEL},
        {"-o", c.output, TN_FILE_OUT},
        {"standard output", !c.output || o->dump_after ? "-" : NULL, TN_FILE_OUT},
    };
    if (check_files(verb, files, TN_COUNT(files)) != EXIT_OK) return EXIT_INPUT;
    return text_ended(ternc()->opt(o, take_text, &out, &err), &err, &out);
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
    return text_ended(ternc()->eval(&o, take_text, &out, &err), &err, &out);
}
