/* What rows of tables bring into memory is noticed by what is resident of all files of the process: then the tables are let
 * go of. Here another file stands for a table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>
#include "runtime/base/os.h"
#include "runtime/model.h"

enum { BYTES = 40 << 20, SLACK = 4 << 20 };

static void touch(const TnFile *f) {
    for (size_t i = 0; i < f->size; i += 4096) assert_int_equal(((const volatile uint8_t *)f->data)[i], 0);
}

static void growth(void **state) {
    (void)state;
    char path[] = "/tmp/tern-growth-XXXXXX";
    int fd = mkstemp(path);
    TernError err = {0};
    TernModel *m = calloc(1, sizeof *m);
    TnFile f;
    assert_true(fd >= 0 && m);
    assert_int_equal(ftruncate(fd, BYTES), 0);
    close(fd);
    if (tn_file_map(path, &f, &err) != TERN_OK) fail_msg("%s", err.text);
    uint64_t before = tn_os_file_resident();
    atomic_init(&m->random, true);
    m->has_tables = true;
    tn_model_let_go(m, false);
    assert_false(tn_model_has_grown(m));
    touch(&f);
    assert_true(tn_os_file_resident() + SLACK > before + BYTES);
    assert_true(tn_model_has_grown(m));
    m->has_tables = false; /* then nothing could be given back */
    assert_false(tn_model_has_grown(m));
    m->has_tables = true;
    tn_model_let_go(m, false);
    assert_false(tn_model_has_grown(m));
    tn_os_advise_dontneed(f.data, f.size);
    assert_true(tn_os_file_resident() < before + SLACK);
    assert_false(tn_model_has_grown(m));
    touch(&f); /* what went away meanwhile does not count */
    assert_true(tn_model_has_grown(m));
    atomic_store(&m->random, false); /* the tables are read whole */
    assert_false(tn_model_has_grown(m));
    tn_file_unmap(&f);
    unlink(path);
    free(m);
}

int main(void) {
    if (!tn_os_file_resident()) {
        puts("skipped: the system does not say what is resident of files");
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(growth)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
