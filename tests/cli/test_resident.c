/* What stays in memory of a file, by the process's own list of mappings.
 *
 * Tables. With a shortlisted head the table of tokens is read by a few rows for each token: once it is checked, its
 * pages are given back and the system is told not to read ahead. Rows are then read with system calls, so no page of the table
 * is mapped again. A step that wants all logits reads the whole table, which is as usual from then on.
 *
 * Rows of down. Where decoding reads columns, only longer steps read the rows. They are given back when a prompt has ended,
 * however short it or its last chunk is: with its result, or, where other slots take part, with the next step of one row. And
 * they are given back when a while has passed since ids were guessed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "cli/native.h"
#include "frontends/api/ternc.h"
#include "support/gguf_model.h"

static void must(TernStatus st, const TernError *err) {
    if (st != TERN_OK) fail_msg("%s", err->text);
}

/* Of the mappings of a file that are read here and there: how many there are, their size and what is resident, in kB. And
 * what is resident of all its mappings. */
typedef struct Seen {
    unsigned long n, size, resident, all;
} Seen;

static Seen look(const char *path) {
    FILE *f = fopen("/proc/self/smaps", "re");
    Seen seen = {0};
    unsigned long lo, hi, size = 0, resident = 0;
    char line[1024];
    int ours = 0;
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "%lx-%lx ", &lo, &hi) == 2) ours = strstr(line, path) != NULL;
        sscanf(line, "Size: %lu", &size);
        sscanf(line, "Rss: %lu", &resident);
        if (!ours || strncmp(line, "VmFlags:", 8) != 0) continue;
        seen.all += resident;
        if (!strstr(line, " rr")) continue;
        seen.n++;
        seen.size += size;
        seen.resident += resident;
    }
    if (f) fclose(f);
    return seen;
}

/* Some rows of slot 0, after a row of `other` if that is not 0. */
static void step_beside(TernSession *s, uint32_t other, size_t n, uint32_t want) {
    TernError err = {0};
    TernRow rows[16] = {{0}};
    for (size_t i = 0; i < n; i++) rows[i].token = (int32_t)(7 + i);
    rows[0].slot = other;
    rows[n - 1].want = want;
    must(tern_session_step(s, rows, n, NULL, NULL, &err), &err);
}

static void step(TernSession *s, size_t n, uint32_t want) {
    step_beside(s, 0, n, want);
}

typedef struct Opened {
    TernPool *pool;
    TernModel *model;
    TernSession *session;
} Opened;

static Opened open_model(const char *path, int no_check) {
    TernError err = {0};
    TernModelOptions mo = {.size = sizeof mo, .no_check = no_check};
    Opened o;
    must(tern_pool_create(NULL, &o.pool, &err), &err);
    must(tern_model_open(path, &mo, &o.model, &err), &err);
    TernSessionOptions so = {.size = sizeof so, .slots = 2};
    must(tern_session_create(o.model, o.pool, &so, &o.session, &err), &err);
    return o;
}

static void close_model(Opened o) {
    tern_session_destroy(o.session);
    tern_model_close(o.model);
    tern_pool_destroy(o.pool);
}

static void look_at_table(const char *path, int no_check) {
    Opened o = open_model(path, no_check);
    Seen seen = look(path); /* the table has 896 KiB */
    assert_int_equal(seen.n, 1);
    assert_in_range(seen.size, 896 - 2 * 64, 896);
    assert_int_equal(seen.resident, 0);
    step(o.session, 1, TERN_WANT_GREEDY);
    seen = look(path);
    assert_int_equal(seen.n, 1);
    assert_int_equal(seen.resident, 0); /* its rows were read from the file */
    step(o.session, 1, TERN_WANT_LOGITS);
    assert_int_equal(look(path).n, 0);
    close_model(o);
}

static void new_file(char *path) {
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
}

static void table(void **state) {
    (void)state;
    char path[] = "/tmp/tern-resident-XXXXXX";
    TernError err = {0};
    TerncOptions o = {.size = sizeof o, .head = "q6", .best = 1};
    new_file(path);
    must(ternc_compile(NULL, &o, path, NULL, &err), &err);
    look_at_table(path, 0);
    look_at_table(path, 1);
    unlink(path);
}

/* A model whose down has a copy by columns, and 1 MiB of codes by rows. Few codes of down's input are not 0, as after
 * training, so that decoding reads columns. */
static void compile_wide(const char *path) {
    char gguf[] = "/tmp/tern-resident-XXXXXX";
    TernError err = {0};
    TnGmSpec spec = tn_gm_small;
    spec.hidden = spec.ffn = 2048, spec.heads = 16, spec.kv_heads = 4, spec.layers = 1, spec.vocab = 300;
    spec.context = 128, spec.outliers = 40;
    new_file(gguf);
    TnGw *w = tn_gm_create(&spec);
    assert_true(tn_gw_file(w, gguf));
    tn_gw_destroy(w);
    TerncSource source = {.size = sizeof source, .path = gguf};
    TerncOptions o = {.size = sizeof o, .best = 1};
    must(ternc_compile(&source, &o, path, NULL, &err), &err);
    unlink(gguf);
}

static void rows_of_down(void **state) {
    (void)state;
    TernError err = {0};
    char path[] = "/tmp/tern-resident-XXXXXX";
    enum { ROWS = 700 }; /* kB: most of the codes by rows */
    new_file(path);
    compile_wide(path);
    Opened o = open_model(path, 0);
    step_beside(o.session, 1, 5, TERN_WANT_GREEDY); /* a short prompt, beside another slot */
    unsigned long all = look(path).all;
    step(o.session, 1, TERN_WANT_GREEDY);
    unsigned long decoding = look(path).all;
    assert_true(decoding + ROWS < all);
    step(o.session, 2, TERN_WANT_GREEDY); /* a guess */
    step(o.session, 1, TERN_WANT_GREEDY);
    assert_true(look(path).all > decoding + ROWS);
    for (int i = 0; i < 16; i++) step(o.session, 1, TERN_WANT_GREEDY);
    assert_true(look(path).all + ROWS < all);
    step(o.session, 9, TERN_WANT_NOTHING); /* a prompt with a short last chunk */
    assert_true(look(path).all > decoding + ROWS);
    step(o.session, 3, TERN_WANT_GREEDY);
    assert_true(look(path).all + ROWS < all);
    step(o.session, 1, TERN_WANT_GREEDY);
    assert_true(look(path).all + ROWS < all);
    must(tern_session_truncate(o.session, 0, 0, &err), &err);
    step(o.session, 4, TERN_WANT_GREEDY); /* a short prompt */
    assert_true(look(path).all + ROWS < all);
    close_model(o);
    unlink(path);
}

int main(void) {
    if (!*native_levels()) {
        puts("skipped: no code for this machine in this build");
        return 77;
    }
    FILE *f = fopen("/proc/self/smaps", "re");
    char line[1024] = "";
    while (f && fgets(line, sizeof line, f) && strncmp(line, "VmFlags:", 8) != 0) line[0] = 0;
    if (f) fclose(f);
    if (!*line) {
        puts("skipped: the system does not show the flags of mappings");
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(table), cmocka_unit_test(rows_of_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
