/* tern convert. */
#include "frontends/cli/cli.h"

int verb_convert(const Verb *verb, int argc, char **argv) {
    TerncConvert c = {.size = sizeof c, .note = print_note};
    bool absmean = false;
    const Flag flags[] = {
        {"-o --output", "FILE", FLAG_STR, &c.output, 0, 0, "the GGUF; - is standard output"},
        {"--type", "TYPE", FLAG_STR, &c.type, 0, 0,
         "of ternary matrices: i2_s, tq1_0, tq2_0, q2_0, pq2_0 or ptq1_0; of a .gguf also f16 or f32, with "
         "which activations are not rounded; default: what their scales need, or as the .gguf has them"},
        {"--embd", "TYPE", FLAG_STR, &c.embd, 0, 0,
         "of embedding and head: f32, f16, bf16 or q8_0; default: as they are"},
        {"--pre", "NAME", FLAG_STR, &c.pre, 0, 0, "for a folder: the pre-tokenizer, if it is not recognised"},
        {"--absmean", NULL, FLAG_BOOL, &absmean, 0, 0,
         "for a folder: round matrices that are not ternary by their mean magnitude, also if nothing in the "
         "folder says "
         "so"},
        {"--tl-config", "FILE", FLAG_STR, &c.tl_config, 0, 0,
         "for a .gguf with TL1 or TL2: the kernel_config.ini of the bitnet.cpp that wrote it, which has the "
         "sizes of its tiles"},
        FLAG_END,
    };
    int n_words;
    parse_args(verb, flags, argc, argv, &c.path, 1, &n_words);
    if (!c.path) usage_error(verb, "expected a folder or a .gguf");
    if (!c.output) usage_error(verb, "missing -o FILE");
    const TnFileUse files[] = {{"the model", c.path, TN_FILE_MODEL},
                               {"--tl-config", c.tl_config, TN_FILE_IN},
                               {"-o", c.output, TN_FILE_BINARY}};
    if (check_files(verb, files, TN_COUNT(files)) != EXIT_OK) return EXIT_INPUT;
    c.absmean = absmean;
    TernError err = {0};
    return ternc()->convert(&c, &err) == TERN_OK ? EXIT_OK : fail(&err);
}
