/* The registry of targets, for any set of targets in a build: rows and descriptors agree, and every level gets the right
 * targets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "codegen/codegen.h"
#include "runtime/abi/levels.h"
#include "runtime/base/arena.h"

static void rows_and_descriptors_agree(void **state) {
    (void)state;
    const TnTargetRow *row;
    uint32_t n = 0;
    for (size_t i = 0; (row = tn_target_row(i)); i++, n++) {
        const TnTarget *t = tn_target_find(row->name);
        assert_non_null(t);
        assert_string_equal(t->desc.name, row->name);
        assert_ptr_equal(tn_target_named(row->name), row);
        bool code = row->kernels != TN_TARGET_NONE;
        assert_int_equal(tn_target_evaluates(row->name), !code);
        assert_true(code == (t->emit != NULL) && code == (t->show != NULL) && code == (t->section != 0));
        assert_true(!code || t->section == TN_SECTION_CODE || t->section == TN_SECTION_PTXT);
        assert_non_null(strstr(tn_target_names(), row->name));
        assert_non_null(strstr(tn_target_docs(), row->doc));
        if (*row->listings) assert_int_equal(strncmp(row->listings, ", ", 2), 0);
    }
    assert_int_equal(n, TN_TARGET_COUNT);
    assert_null(tn_target_find("vax"));
    assert_null(tn_target_find(NULL));
    assert_null(tn_target_named("vax"));
    assert_false(tn_target_evaluates(NULL));
    assert_false(tn_target_lists(""));
    assert_false(tn_target_lists("as"));
    assert_false(tn_target_lists("llvm, asm"));
}

/* A target for some kernels comes only where it is named, and with the rest of the level's targets after it; a target for all
 * kernels comes alone. */
static void who_makes_a_level(void **state) {
    (void)state;
    for (size_t i = 0; i <= TN_LEVEL_COUNT; i++) {
        const char *level = i < TN_LEVEL_COUNT ? tn_level_row(i)->name : TN_LEVEL_REF_NAME;
        const TnTargetDesc *all[TN_TARGETS_MAX], *some[TN_TARGETS_MAX];
        uint32_t n = tn_targets_for(level, NULL, all);
        if (i == TN_LEVEL_COUNT) assert_int_equal(n, 1);
        const TnTargetRow *row;
        for (size_t k = 0; (row = tn_target_row(k)); k++) {
            if (!tn_target_find(row->name)->has(level)) continue;
            assert_int_equal(tn_level_has_code(level), row->kernels != TN_TARGET_NONE);
            uint32_t m = tn_targets_for(level, row->name, some);
            assert_string_equal(some[0]->name, row->name);
            assert_true(row->kernels == TN_TARGET_SOME ? m > 1 : m == 1);
            for (uint32_t j = 1; j < m; j++)
                assert_int_equal(tn_target_named(some[j]->name)->kernels, TN_TARGET_ALL);
        }
        for (uint32_t k = 0; k < n; k++) {
            assert_true(tn_target_find(all[k]->name)->has(level));
            assert_int_not_equal(tn_target_named(all[k]->name)->kernels, TN_TARGET_SOME);
        }
        for (size_t k = 0; (row = tn_target_row(k)); k++)
            if (row->kernels == TN_TARGET_ALL && tn_target_find(row->name)->has(level)) assert_true(n > 0);
        assert_true(tn_targets_asked(level, some) > 0);
        if (!n) assert_true(tn_target_evaluates(some[0]->name));
    }
    const TnTargetDesc *none[TN_TARGETS_MAX];
    assert_int_equal(tn_targets_for("avx9", NULL, none), 0);
}

static void levels_of_a_target(void **state) {
    (void)state;
    TnArena arena = {0};
    const TnTargetRow *row;
    assert_string_equal(tn_target_levels(NULL, "b,a", &arena), "b,a");
    assert_string_equal(tn_target_levels("vax", "b,a", &arena), "b,a");
    for (size_t i = 0; (row = tn_target_row(i)); i++) {
        const char *list = tn_target_levels(row->name, "avx2", &arena);
        if (tn_target_find(row->name)->has("avx2")) assert_string_equal(list, "avx2");
        if (row->kernels == TN_TARGET_NONE) assert_string_equal(list, TN_LEVEL_REF_NAME);
        assert_true(*list && !strstr(list, ",,"));
    }
    tn_arena_free(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_and_descriptors_agree),
        cmocka_unit_test(who_makes_a_level),
        cmocka_unit_test(levels_of_a_target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
