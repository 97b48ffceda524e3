/* The vocabularies of llama.cpp, which are too large to be kept here, against its own vectors: TERN_VOCABS names a
 * folder with ggml-vocab-NAME.gguf and, beside it, .inp (texts) and .out (ids, a line a text). */
#include <dirent.h>
#include "gguf/refuse.h"
#include "runtime/base/os.h"
#include "runtime/text/text.h"

static const char separator[] = "\n__ggml_vocab_test__\n";

static char *read_whole(const char *path) {
    char *data;
    size_t size;
    TernError err;
    if (tn_file_read(path, 1u << 24, &data, &size, &err) != TERN_OK) return NULL;
    data = realloc(data, size + 1);
    data[size] = '\0';
    return data;
}

/* False, with a line, unless the text gives the ids of the line. */
static bool check_text(const TernVocab *v, const char *name, const char *text, size_t size, char *line) {
    int32_t ids[4096], want[4096];
    size_t n, n_want = 0;
    TernError err;
    for (char *p = line, *end; n_want < TN_COUNT(want); p = end) {
        long id = strtol(p, &end, 10);
        if (end == p) break;
        want[n_want++] = (int32_t)id;
    }
    if (tern_encode(v, text, size, 0, ids, TN_COUNT(ids), &n, &err) != TERN_OK) fail_msg("%s", err.text);
    if (n == n_want && memcmp(ids, want, n * sizeof *ids) == 0) return true;
    print_message("%s: '%.*s' gives", name, (int)size, text);
    for (size_t i = 0; i < n; i++) print_message(" %d", ids[i]);
    print_message(", expected %s\n", line);
    return false;
}

/* How many texts differ, and how many there are. */
static void check_vectors(const TernVocab *v, const char *name, char *inp, char *out, size_t *bad,
                          size_t *n) {
    char *text = inp;
    for (char *line = out, *next; *line; line = next) {
        next = line + strcspn(line, "\n");
        if (*next) *next++ = '\0';
        char *end = strstr(text, separator);
        size_t size = end ? (size_t)(end - text) : strlen(text);
        *bad += !check_text(v, name, text, size, line);
        ++*n;
        text = end ? end + strlen(separator) : text + size;
    }
}

static void check_vocab(const char *dir, const char *file, size_t *bad, size_t *n) {
    char path[4096], inp_path[4200], out_path[4200];
    TnGguf *g;
    TernVocab *v;
    TernError err;
    const void *image;
    size_t bytes;
    snprintf(path, sizeof path, "%s/%s", dir, file);
    snprintf(inp_path, sizeof inp_path, "%s.inp", path);
    snprintf(out_path, sizeof out_path, "%s.out", path);
    if (tn_gguf_open(path, true, &g, &err) != TERN_OK) {
        print_message("%s: skipped: %s\n", file, err.text);
        return;
    }
    if (tn_gguf_vocab(g, &image, &bytes, &err) != TERN_OK) {
        print_message("%s: skipped: %s\n", file, err.text);
        tn_gguf_close(g);
        return;
    }
    if (tern_vocab_open(image, bytes, &v, &err) != TERN_OK) fail_msg("%s: %s", file, err.text);
    char *inp = read_whole(inp_path), *out = read_whole(out_path);
    size_t before = *n;
    if (inp && out) check_vectors(v, file, inp, out, bad, n);
    print_message("%s: %zu texts\n", file, *n - before);
    free(inp);
    free(out);
    tern_vocab_close(v);
    tn_gguf_close(g);
}

static void vectors_of_llama_cpp(void **state) {
    (void)state;
    const char *dir = getenv("TERN_VOCABS");
    DIR *d = dir ? opendir(dir) : NULL;
    if (!d) {
        print_message("skipped: TERN_VOCABS is %s, expected a folder of llama.cpp's vocabularies\n",
                      dir ? dir : "not set");
        skip();
    }
    size_t bad = 0, n = 0;
    for (struct dirent *e; (e = readdir(d));) {
        size_t size = strlen(e->d_name);
        if (strncmp(e->d_name, "ggml-vocab-", 11) == 0 && size > 5 &&
            strcmp(e->d_name + size - 5, ".gguf") == 0)
            check_vocab(dir, e->d_name, &bad, &n);
    }
    closedir(d);
    assert_int_equal(bad, 0);
    assert_true(n > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(vectors_of_llama_cpp)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
