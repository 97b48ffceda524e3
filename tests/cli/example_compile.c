/* The example of frontends/api/ternc.h as a program: compile at load, and ahead of time. Usage: example_compile
 * OUT.tern */
#include <stdio.h>
#include "ternc.h"

int main(int argc, char **argv) {
    TernError err;
    TerncSource source = {.size = sizeof source}; /* .path = "model.gguf"; none: the embedded model */
    TernModel *model;
    if (argc != 2) return 2;
    if (ternc_load(&source, NULL, NULL, &model, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    TernModelInfo info;
    tern_model_info(model, &info);
    printf("%s: %u layers, vocabulary %u\n", info.arch, info.n_layers, info.n_vocab);
    tern_model_close(model);

    TerncOptions options = {.size = sizeof options, .context = 256};
    TerncReport report;
    if (ternc_compile(&source, &options, argv[1], &report, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    printf("%s\n", report.file_bytes > 0 ? "compiled" : "empty");
    return 0;
}
