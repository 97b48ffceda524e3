/* A model in several files: any part names it, and parts that do not belong together are refused. */
#include <unistd.h>
#include "gguf/refuse.h"

static char dir[] = "/tmp/tern-parts-XXXXXX";
enum { PARTS = 3 };

static const char *path_of(int no) {
    static char path[96];
    snprintf(path, sizeof path, "%s/m-%05d-of-%05d.gguf", dir, no, PARTS);
    return path;
}

/* What a test may have otherwise. */
typedef struct Change {
    int part;                    /* from 1; 0: none */
    uint32_t no, count, tensors; /* as the part says; 0: right */
    const char *name;            /* of its last tensor */
} Change;

/* Part `no` has no - 1 tensors of 8 numbers, which hold their part and index; the first has a key. */
static void put_part(int no, const Change *c) {
    TnGw *w = tn_gw_create();
    bool other = c->part == no;
    if (no == 1) tn_gw_str(w, "general.name", "a model");
    tn_gw_u32(w, "split.no", other && c->no ? c->no - 1 : (uint32_t)no - 1);
    tn_gw_u32(w, "split.count", other && c->count ? c->count : PARTS);
    tn_gw_u32(w, "split.tensors.count", other && c->tensors ? c->tensors : 3);
    for (int i = 0; i < no - 1; i++) {
        char name[32];
        float values[8] = {(float)no, (float)i};
        snprintf(name, sizeof name, "t%d.%d", no, i);
        if (other && c->name && i == no - 2) snprintf(name, sizeof name, "%s", c->name);
        tn_gw_tensor(w, name, GW_T_F32, 1, (uint64_t[]){8}, NULL, NULL);
        tn_gw_data(w, name, values, sizeof values);
    }
    assert_true(tn_gw_file(w, path_of(no)));
    tn_gw_destroy(w);
}
static void put_parts(const Change *c) {
    for (int no = 1; no <= PARTS; no++) put_part(no, c);
}

static const char *says(int no) {
    static TernError err;
    TnGguf *g = NULL;
    err = (TernError){0};
    if (tn_gguf_open(path_of(no), false, &g, &err) == TERN_OK) {
        tn_gguf_close(g);
        return "";
    }
    return strncmp(err.text, dir, strlen(dir)) == 0 ? err.text + strlen(dir) : err.text;
}

static void any_part_is_the_model(void **state) {
    (void)state;
    put_parts(&(Change){0});
    uint64_t hash = 0;
    for (int no = 1; no <= PARTS; no++) {
        TnGguf *g;
        TernError err;
        if (tn_gguf_open(path_of(no), false, &g, &err) != TERN_OK) fail_msg("%s", err.text);
        assert_int_equal(g->n_tensors, 3);
        assert_int_equal(tn_gguf_whole(g, &err), TERN_OK);
        assert_non_null(tn_gguf_key(g, "general.name"));
        if (no == 1) hash = g->table_hash;
        assert_true(g->table_hash == hash);
        TnWeights find = tn_gguf_weights(g);
        size_t n = 0;
        const float *v = find.find(find.ctx, "t3.1", &n);
        assert_int_equal(n, 32);
        assert_true(v[0] == 3 && v[1] == 1);
        v = find.find(find.ctx, "t2.0", &n);
        assert_true(v[0] == 2 && v[1] == 0);
        find.rest(find.ctx);
        assert_true(v[0] == 2 && v[1] == 0);
        tn_gguf_close(g);
        /* the vocabulary is in the first part; the others need not be there */
        assert_int_equal(tn_gguf_open(path_of(no), true, &g, &err), TERN_OK);
        assert_int_equal(g->n_tensors, 0);
        assert_non_null(tn_gguf_key(g, "general.name"));
        tn_gguf_close(g);
    }
}

static void parts_that_do_not_fit(void **state) {
    (void)state;
    static const struct {
        Change c;
        const char *want;
    } list[] = {
        {{.part = 2, .no = 3},
         "/m-00002-of-00003.gguf: the file says that it is part 3 of 3, expected part 2 of 3"},
        {{.part = 3, .no = 1},
         "/m-00003-of-00003.gguf: the file says that it is part 1 of 3, expected part 3 of 3"},
        {{.part = 1, .no = 2},
         "/m-00001-of-00003.gguf: the file says that it is part 2 of 3, expected part 1 of 3"},
        {{.part = 1, .count = 4},
         "/m-00001-of-00003.gguf: the file says that it is part 1 of 4, expected part 1 of 3"},
        {{.part = 2, .count = 1},
         "/m-00002-of-00003.gguf: the file says that it is part 2 of 1, expected part 2 of 3"},
        {{.part = 1, .tensors = 4},
         "/m-00001-of-00003.gguf: split.tensors.count is 4, but the parts have 3 tensors"},
        {{.part = 3, .name = "t2.0"}, "/m-00003-of-00003.gguf: tensor t2.0 is in a part before, too"},
    };
    for (size_t i = 0; i < TN_COUNT(list); i++) {
        put_parts(&list[i].c);
        for (int no = 1; no <= PARTS; no++) assert_string_equal(says(no), list[i].want);
    }
}

static void parts_that_are_missing(void **state) {
    (void)state;
    put_parts(&(Change){0});
    assert_int_equal(unlink(path_of(2)), 0);
    assert_string_equal(says(3), "/m-00002-of-00003.gguf: cannot open: No such file or directory");
    put_parts(&(Change){0});
    assert_int_equal(unlink(path_of(1)), 0);
    assert_string_equal(
        says(3), "/m-00003-of-00003.gguf: part 3 of 3, and the first, which has the keys, is not beside it");
    assert_string_equal(says(1), "/m-00001-of-00003.gguf: cannot open: No such file or directory");
}

/* Files that are named like parts and are whole. */
static void whole_files_of_such_names(void **state) {
    (void)state;
    for (int no = 1; no <= PARTS; no++) {
        TnGw *w = tn_gw_create();
        char name[16];
        snprintf(name, sizeof name, "own%d", no);
        tn_gw_str(w, name, "x");
        assert_true(tn_gw_file(w, path_of(no)));
        tn_gw_destroy(w);
    }
    TnGguf *g;
    TernError err;
    assert_int_equal(tn_gguf_open(path_of(2), false, &g, &err), TERN_OK);
    assert_non_null(tn_gguf_key(g, "own2"));
    tn_gguf_close(g);
}

static int begin(void **state) {
    (void)state;
    return mkdtemp(dir) ? 0 : 1;
}
static int end(void **state) {
    (void)state;
    for (int no = 1; no <= PARTS; no++) unlink(path_of(no));
    return rmdir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_part_is_the_model),
        cmocka_unit_test(parts_that_do_not_fit),
        cmocka_unit_test(parts_that_are_missing),
        cmocka_unit_test(whole_files_of_such_names),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
