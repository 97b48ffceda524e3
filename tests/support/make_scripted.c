/* make_scripted: writes a model that says what a script says (scripted.h). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "support/scripted.h"

static const char usage[] = "usage: make_scripted SCRIPT -o FILE.gguf [--template FILE]\n"
                            "  SCRIPT        as tests/support/scripted.h describes it; - is standard input\n"
                            "  --template    the file's chat template\n";

static void read_all(const char *path, TnBuf *out) {
    char chunk[4096];
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    for (size_t n; f && (n = fread(chunk, 1, sizeof chunk, f));) tn_buf_put(out, chunk, n);
    if (!f || ferror(f)) {
        fprintf(stderr, "make_scripted: %s: %s\n", path, strerror(errno));
        exit(1);
    }
    if (f != stdin) fclose(f);
    tn_buf_put(out, "", 1);
}

int main(int argc, char **argv) {
    const char *script = NULL, *out = NULL, *template = NULL;
    for (int i = 1; i < argc; i++) {
        const char **to = strcmp(argv[i], "-o") == 0           ? &out
                          : strcmp(argv[i], "--template") == 0 ? &template
                                                               : NULL;
        if (to && i + 1 < argc)
            *to = argv[++i];
        else if (!to && !script)
            script = argv[i];
        else
            script = out = NULL;
    }
    if (!script || !out) {
        fputs(usage, stderr);
        return 2;
    }
    TnBuf text = {0}, chat = {0}, bytes = {0};
    size_t line;
    TnScripted *s = tn_scripted_create();
    read_all(script, &text);
    if (template) {
        read_all(template, &chat);
        tn_scripted_template(s, chat.data);
    }
    if (!tn_scripted_read(s, text.data, &line)) {
        fprintf(stderr, "make_scripted: %s: line %zu is not understood\n", script, line);
        return 1;
    }
    tn_scripted_bytes(s, &bytes);
    FILE *f = fopen(out, "wb");
    bool ok = f && fwrite(bytes.data, 1, bytes.len, f) == bytes.len;
    if (f && fclose(f)) ok = false;
    if (!ok) fprintf(stderr, "make_scripted: %s: %s\n", out, strerror(errno));
    tn_buf_free(&text);
    tn_buf_free(&chat);
    tn_buf_free(&bytes);
    tn_scripted_destroy(s);
    return !ok;
}
