/* Families of processors: which processor has which row, and what a row changes in a plan. */
#include "codegen/families.h"
#include "codegen/llvm_cases.h"

static const char *name_of(const char *vendor, uint32_t family, uint32_t model) {
    const TnFamily *f = tn_family_of(vendor, family, model);
    return f ? f->name : "";
}

static void processors_have_rows(void **state) {
    (void)state;
    assert_string_equal(name_of("AuthenticAMD", 0x19, 0x11), "zen4");
    assert_string_equal(name_of("AuthenticAMD", 0x19, 0x61), "zen4");
    assert_string_equal(name_of("AuthenticAMD", 0x19, 0x21), ""); /* Zen 3 */
    assert_string_equal(name_of("AuthenticAMD", 0x1a, 0x02), "zen5");
    assert_string_equal(name_of("AuthenticAMD", 0x1a, 0x70), "zen5");
    assert_string_equal(name_of("GenuineIntel", 0x19, 0x11), "");
    assert_string_equal(name_of("GenuineIntel", 6, 0x8f), "sapphire_rapids");
    assert_string_equal(name_of("GenuineIntel", 6, 0xcf), "sapphire_rapids");
    assert_string_equal(name_of("GenuineIntel", 6, 0x55), ""); /* Cascade Lake */
    assert_string_equal(name_of("", 0, 0), "");                /* another architecture */
    assert_null(tn_family_named(NULL));
    assert_null(tn_family_named(TN_FAMILY_ANY));
}

static void check_distances(TnStream stream, const int64_t *of) {
    for (TnInto into = 0; into < TN_INTO_COUNT; into++) assert_true(tn_prefetch_ok(stream, of[into]));
}

static void rows_are_sound(void **state) {
    (void)state;
    const TnFamily *f;
    for (size_t i = 0; (f = tn_family_at(i)); i++) {
        assert_ptr_equal(tn_family_named(f->name), f);
        assert_non_null(strstr(tn_family_names(), f->name));
        check_distances(TN_STREAM_LISTED, f->listed);
        check_distances(TN_STREAM_COLUMNS, f->columns);
        check_distances(TN_STREAM_DENSE, f->beside);
        for (size_t j = 0; j < TN_COUNT(f->models) && f->models[j].hi; j++)
            assert_true(f->models[j].lo <= f->models[j].hi);
    }
}

/* Skips the test where the build has no such target; does not return then. */
static const TnTargetDesc *llvm_or_skip(void) {
    const TnTarget *t = tn_target_find("llvm");
    if (!t) skip();
    return &t->desc;
}

/* ", listed_l2=12, columns_l2=64": the distances of the last kernel of the text said so far, without those in bytes. */
static void expect(const char *level, const char *family, const char *want) {
    const TnTargetDesc *llvm = llvm_or_skip();
    TnGraph *g = case_graph(level, 1);
    TnPrefetch p = {{{0}}};
    TnBuf text = {0};
    llvm->prefetch(g, g->n_kernels - 1, family, &p);
    assert_true(tn_prefetch_most(&p, TN_STREAM_DENSE) > 0);
    memset(p.ahead[TN_STREAM_DENSE], 0, sizeof p.ahead[TN_STREAM_DENSE]);
    tn_prefetch_print(&p, &text);
    tn_buf_puts(&text, "");
    assert_string_equal(text.len ? text.data : "", want);
    tn_buf_free(&text);
    tn_graph_destroy(g);
}

static void say_product(const char *enc, const char *copy, const char *more) {
    case_text.len = 0;
    say("$w: %s[512,64] scale=0x1p-3 = random {seed=5}\n"
        "$t: t8[128,256] scale=0x1p+0 = colmajor $w\n"
        "$c: p64[128,256] scale=0x1p+0 = pack $t\n",
        enc);
    say_q8(64);
    say("kernel @main {root=tmatmul, target=llvm, axis=cols, grain=256, units=1, barrier=1}\n"
        "%%a: i32[T,512] = tmatmul %%q, $w%s {off=0}\n%send\n",
        copy, more);
}

static void plans_follow_the_family(void **state) {
    (void)state;
    say_product("p64", "", "");
    expect("avx512-vnni", "zen4", "");
    say_product("p64", ", $c", "");
    expect("avx512-vnni", NULL, ", columns_past=32");
    expect("avx2", NULL, ", columns_l1=32");
    expect("avx512-vnni", "zen4", ", columns_l2=64");
    expect("avx512-vnni", "zen5", ", columns_l2=64");
    expect("avx2", "zen5", ", columns_l2=64");
    expect("avx-vnni", "zen5", ", columns_l2=64");
    expect("avx2", "sapphire_rapids", ", columns_l1=32");
    say_product("p64", "",
                "%d: f32[T,512] = dequant %a, %q, $w\n"
                "%g: f32[T,256] = slice %d {lo=0, n=256}\n"
                "%u: f32[T,256] = slice %d {lo=256, n=256}\n"
                "%r: f32[T,256] = relu2 %g\n"
                "%y: f32[T,256] = mulz %r, %u {off=0}\n");
    expect("avx512-vnni", NULL, ", listed_l1=4");
    expect("avx512-vnni", "zen5", ", listed_l1=4");
    expect("avx2", "zen4", ", listed_l2=12");
    say_product("b64", "",
                "%d: f32[T,512] = dequant %a, %q, $w\n"
                "%g: f32[T,256] = slice %d {lo=0, n=256}\n"
                "%u: f32[T,256] = slice %d {lo=256, n=256}\n"
                "%r: f32[T,256] = relu2 %g\n"
                "%y: f32[T,256] = mulz %r, %u {off=0}\n");
    expect("avx512-vnni", "zen5", ""); /* no row is left out, and none listed */
}

/* The largest distance, in bytes, of a kernel of up to `most` rows. */
static int64_t bytes_ahead(const char *level, const char *family, int most) {
    const TnTargetDesc *llvm = llvm_or_skip();
    TnGraph *g = case_graph(level, most);
    TnPrefetch p = {{{0}}};
    llvm->prefetch(g, g->n_kernels - 1, family, &p);
    tn_graph_destroy(g);
    return tn_prefetch_most(&p, TN_STREAM_DENSE);
}

/* Packings of which rows lie side by side are read from first to last by the first pass of many rows, or by what unpacks them. */
static void many_rows_prefetch_rows_that_lie_side_by_side(void **state) {
    (void)state;
    static const char *const levels[] = {"avx2", "avx-vnni", "avx512-vnni"};
    for (size_t i = 0; i < TN_COUNT(levels); i++) {
        say_product("p64", "", "");
        assert_int_equal(bytes_ahead(levels[i], NULL, 1), 12288);
        assert_int_equal(bytes_ahead(levels[i], NULL, 8), 0);
        assert_int_equal(bytes_ahead(levels[i], NULL, 512), 0);
        say_product("b64", "", "");
        for (int most = 1; most <= 512; most *= 8) assert_int_equal(bytes_ahead(levels[i], NULL, most), 8192);
    }
    say_product("b80", "", "");
    assert_int_equal(bytes_ahead("avx512-vnni", "zen5", 512), 4096);
}

/* Base 3 is for families that gain by it, on levels that have code for it. */
static void base3_follows_the_family(void **state) {
    (void)state;
    const TnTargetDesc *llvm = llvm_or_skip();
    static const struct {
        const char *level, *family;
        TnMerit want;
    } all[] = {{"avx512-vnni", "zen4", TN_MERIT_GAINS},
               {"avx-vnni", "zen4", TN_MERIT_GAINS},
               {"avx2", "zen4", TN_MERIT_NONE},
               {"neon-dotprod", "zen4", TN_MERIT_NONE},
               {"amx", "zen4", TN_MERIT_NONE}, /* which is not for rows side by side */
               {"avx512-vnni", "sapphire_rapids", TN_MERIT_CAN},
               {"avx512-vnni", NULL, TN_MERIT_CAN}};
    const TnTargetDesc *const targets[] = {llvm};
    for (size_t i = 0; i < TN_COUNT(all); i++)
        if (tn_base3_of(targets, 1, all[i].level, all[i].family) != all[i].want)
            fail_msg("%s on %s", all[i].family ? all[i].family : "any", all[i].level);
    static const char *const both[] = {"avx2", "avx512-vnni"};
    TnPassCtx ctx = {.family = "zen5"};
    assert_int_equal(tn_levels_suit(&ctx, both, 2), TN_MERIT_NONE);
    assert_true(ctx.beside && !ctx.base3);
    assert_int_equal(tn_levels_suit(&ctx, both + 1, 1), TN_MERIT_GAINS);
    assert_true(ctx.beside && ctx.base3);
    ctx.family = NULL;
    assert_int_equal(tn_levels_suit(&ctx, both + 1, 1), TN_MERIT_CAN);
    assert_true(ctx.beside && !ctx.base3);
}

/* Gate and up are read whole if a level of the blob asks for it on that family. */
static void whole_follows_the_family(void **state) {
    (void)state;
    llvm_or_skip();
    static const struct {
        const char *family, *level[2];
        bool want;
    } all[] = {{"zen5", {"avx512-vnni"}, true},
               {"zen5", {"avx2", "avx512-vnni"}, true},
               {"zen5", {"avx-vnni", "avx2"}, false},
               {"zen4", {"avx512-vnni"}, false},
               {"sapphire_rapids", {"avx512-vnni"}, false},
               {NULL, {"avx512-vnni"}, false}};
    for (size_t i = 0; i < TN_COUNT(all); i++) {
        TnPassCtx ctx = {.family = all[i].family};
        tn_levels_suit(&ctx, all[i].level, all[i].level[1] ? 2 : 1);
        if (ctx.whole != all[i].want)
            fail_msg("%s on %s", all[i].family ? all[i].family : "any", all[i].level[0]);
    }
}

/* Products of many rows of activations have panels on families that gain by them, on levels that have code for both ways. */
static void panels_follow_the_family(void **state) {
    (void)state;
    const TnTargetDesc *llvm = llvm_or_skip();
    static const struct {
        const char *level, *family;
        int rows;
        TnMerit want;
    } all[] = {
        {"avx512-vnni", "sapphire_rapids", 512, TN_MERIT_GAINS},
        {"avx512-vnni", "sapphire_rapids", 9, TN_MERIT_GAINS},
        {"avx512-vnni", "sapphire_rapids", 8, TN_MERIT_NONE}, /* few rows go over the bytes as they are */
        {"avx512-vnni", "zen5", 512, TN_MERIT_CAN},
        {"avx512-vnni", NULL, 512, TN_MERIT_CAN},
        {"avx-vnni", "sapphire_rapids", 512, TN_MERIT_NONE}, /* always panels */
        {"amx", "sapphire_rapids", 512, TN_MERIT_NONE},      /* tiles */
        {"neon-dotprod", NULL, 512, TN_MERIT_NONE}};
    static const char *const encs[] = {"p64", "b64", "b80"};
    for (size_t i = 0; i < TN_COUNT(all); i++)
        for (size_t e = 0; e < TN_COUNT(encs); e++) {
            say_product(encs[e], "", "");
            TnGraph *g = case_graph(all[i].level, all[i].rows);
            if (llvm->panels(g, g->n_kernels - 1, all[i].family) != all[i].want)
                fail_msg("%s, %d rows of %s on %s", all[i].family ? all[i].family : "any", all[i].rows,
                         encs[e], all[i].level);
            tn_graph_destroy(g);
        }
    say_product("p64", "", "");
    TnGraph *g = case_graph("avx512-vnni", 512);
    const TnTargetDesc *const targets[] = {llvm};
    TnPassCtx ctx = {.level = "avx512-vnni", .family = "sapphire_rapids", .targets = targets, .n_targets = 1};
    TernError err;
    for (uint32_t k = 0; k < g->n_kernels; k++) g->kernels[k].panels = true;
    g->stage = TN_STAGE_FUSED;
    if (tn_passes_run(g, "tile", &ctx, &err) != TERN_OK) fail_msg("%s", err.text);
    assert_false(g->kernels[0].panels); /* quant, by rows */
    assert_true(g->kernels[1].panels);
    tn_graph_destroy(g);
    case_done();
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(processors_have_rows),
                                       cmocka_unit_test(rows_are_sound),
                                       cmocka_unit_test(plans_follow_the_family),
                                       cmocka_unit_test(many_rows_prefetch_rows_that_lie_side_by_side),
                                       cmocka_unit_test(base3_follows_the_family),
                                       cmocka_unit_test(whole_follows_the_family),
                                       cmocka_unit_test(panels_follow_the_family)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
