/* docs/blob.md against the runtime: a reader written from the page alone must find the same facts, notice
 * every changed bit, and accept and refuse the same files as the runtime, with right hashes and with wrong ones. */
#include "codegen/blob_reader.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "runtime/fake_model.h"
#include "codegen/internal.h"
#include "codegen/small_model.h"
#include "runtime/base/os.h"

static Fake fake;
static Br br; /* large */

static TernStatus open_memory(const void *bytes, size_t size, TernModel **out, TernError *err) {
    TernKernels k = fake_kernels(&fake);
    TernModelOptions o = {.size = sizeof o, .kernels = &k};
    return tern_model_open_memory(bytes, size, &o, out, err);
}

/* The page alone: no header of ours. */
static void the_reader_stands_alone(void **state) {
    (void)state;
    char *text;
    size_t n;
    assert_int_equal(tn_file_read(TERN_SOURCE_DIR "/tests/codegen/blob_reader.h", 1 << 20, &text, &n, NULL),
                     TERN_OK);
    assert_null(strstr(text, "#include \""));
    assert_non_null(strstr(text, "#include <"));
    free(text);
}

/* ---- facts */

static void same_text(BrText a, const char *b) {
    assert_int_equal(a.n, strlen(b));
    assert_memory_equal(a.s, b, a.n);
}

static void same_sections(const TernModel *m) {
    uint32_t seen[BR_KINDS] = {0}, known = 0;
    for (uint32_t i = 0; i < br.n_sections; i++) {
        const BrSection *s = &br.sections[i];
        size_t n = 0;
        uint32_t index = 0;
        for (uint32_t j = 0; j < i; j++) index += br.sections[j].kind == s->kind;
        assert_ptr_equal(tern_model_section(m, s->kind, index, &n), s->bytes);
        assert_int_equal(n, s->size);
        if (s->kind < BR_KINDS) known++, seen[s->kind]++;
    }
    for (uint32_t k = 1; k < BR_KINDS; k++) {
        size_t n;
        assert_int_equal(seen[k], br_count(&br, k));
        assert_null(tern_model_section(m, k, seen[k], &n));
    }
    assert_true(known > 0);
}

static void same_facts(const void *bytes, size_t size) {
    TernModel *m;
    TernError err = {0};
    if (br_read(bytes, size, &br)) fail_msg("%s: %s", br.place, br.fault);
    if (open_memory(bytes, size, &m, &err)) fail_msg("%s", err.text);
    TernModelInfo info;
    tern_model_info(m, &info);
    same_text(br.arch, info.arch);
    same_text(br.name, info.name);
    same_text(br.desc, info.desc);
    assert_int_equal(br.n_vocab, info.n_vocab);
    assert_int_equal(br.n_context, info.n_context);
    assert_int_equal(br.n_layers, info.n_layers);
    assert_int_equal(br.n_hidden, info.n_hidden);
    assert_int_equal(br.n_ffn, info.n_ffn);
    assert_int_equal(br.n_heads, info.n_heads);
    assert_int_equal(br.n_kv_heads, info.n_kv_heads);
    assert_int_equal(br.head_dim, info.head_dim);
    assert_int_equal(br.n_params, info.n_params);
    assert_int_equal(br.size, info.file_bytes);
    uint32_t rows = 0;
    uint64_t weights = 0;
    for (uint32_t i = 0; i < br.n_variants; i++) {
        if (br.variants[i].rows_hi > rows) rows = br.variants[i].rows_hi;
        if (br.variants[i].weight_bytes > weights) weights = br.variants[i].weight_bytes;
    }
    assert_int_equal(rows, info.max_rows);
    assert_int_equal(weights, info.weight_bytes);
    size_t n;
    const void *vocab = tern_model_vocab(m, &n);
    assert_int_equal(n, br.vocab.n);
    if (n) assert_ptr_equal(vocab, br.vocab.s);
    same_sections(m);
    tern_model_close(m);
}

static void hand_made_blobs(void **state) {
    (void)state;
    static const uint32_t levels[] = {TN_LEVEL_REF, TN_LEVEL_AVX2};
    static const size_t weights[] = {128, 300, 4194304, 4194305, 9000000};
    for (size_t l = 0; l < TN_COUNT(levels); l++)
        for (size_t w = 0; w < TN_COUNT(weights); w++) {
            Maker maker = fake_maker(levels[l], weights[w]);
            Image image = maker_seal(&maker);
            same_facts(image.data, image.size);
            assert_int_equal(br.n_variants, 6);
            maker_free(&maker);
            free(image.data);
        }
}

/* ---- a compiled model: what the writer writes is what the page says, its equalities too */

static void check_variant(const BrVariant *v) {
    uint32_t barriers = 0;
    uint64_t scratch = 0, scratch_page = 0, arena[8] = {0}, constant = 0, weights = 0;
    for (uint32_t i = 0; i < v->n_launches; i++) {
        const uint8_t *l = v->launches + 64 * i;
        barriers += l[48] & 1;
        assert_int_equal(l[49] + br_u16(l + 50) + br_u32(l + 52), 0); /* code of processors */
        if (br_u64(l + 32) > scratch) scratch = br_u64(l + 32);
        if (br_u64(l + 40) > scratch_page) scratch_page = br_u64(l + 40);
    }
    for (uint32_t i = 0; i < v->n_operands; i++) {
        const uint8_t *o = v->operands + 24 * i;
        uint64_t end = br_u64(o + 8) + tn_round_up(br_u64(o + 16), 64);
        if (br_u32(o) == 0) {
            uint64_t *part = br_u32(o + 4) == BR_NONE ? &constant : &arena[br_u32(o + 4)];
            if (end > *part) *part = end;
        } else if (br_u32(o) == 1) {
            bool seen = false;
            for (uint32_t j = 0; j < i; j++)
                seen |=
                    br_u32(v->operands + 24 * j) == 1 && br_u64(v->operands + 24 * j + 8) == br_u64(o + 8);
            if (!seen) weights += br_u64(o + 16);
        } else if (br_u32(o) >= 3) {
            assert_int_equal(br_u64(o + 16), v->key_page);
        }
    }
    assert_int_equal(barriers, v->n_barriers);
    assert_int_equal(scratch, v->scratch);
    assert_int_equal(scratch_page, v->scratch_page);
    assert_int_equal(weights, v->weight_bytes);
    assert_int_equal(constant, v->arena_const);
    assert_memory_equal(arena, v->arena, sizeof arena);
    for (int i = 0; i < 5; i++) assert_int_not_equal(v->output[i], BR_NONE);
}

static void check_directory(void) {
    const BrSection *s = br_find(&br, BR_WDIR, 0), *w = br_find(&br, BR_WGHT, 0);
    uint32_t n = br_u32(s->bytes);
    uint64_t end = 0;
    assert_true(br_inside(8, 32 * (uint64_t)n, s->size));
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *e = s->bytes + 8 + 32 * i;
        BrText name, type;
        assert_true(br_range(s, e + 16, &name) && br_range(s, e + 24, &type) && name.n && type.n);
        assert_true(br_u64(e) % 64 == 0 && br_u64(e) >= end && br_inside(br_u64(e), br_u64(e + 8), w->size));
        for (; end < br_u64(e); end++) assert_int_equal(w->bytes[end], 0);
        end = br_u64(e) + br_u64(e + 8);
    }
    for (; end < w->size; end++) assert_int_equal(w->bytes[end], 0);
}

/* The order of sections and their alignment. */
static void check_order(uint32_t n_code) {
    uint32_t at = 0;
    assert_int_equal(br.sections[at++].kind, BR_META);
    for (uint32_t i = 0; i < n_code; i++) assert_int_equal(br.sections[at++].kind, BR_CODE);
    for (uint32_t i = 0; i < br.n_variants; i++) {
        assert_int_equal(br.sections[at++].kind, BR_PROG);
        assert_int_equal(br.sections[at++].kind, BR_PLAN);
    }
    static const uint32_t tail[] = {BR_TIR, BR_WDIR, BR_CHNK, BR_WGHT};
    for (int i = 0; i < 4; i++) assert_int_equal(br.sections[at++].kind, tail[i]);
    assert_int_equal(at, br.n_sections);
    for (uint32_t i = 0; i < br.n_sections; i++) {
        const BrSection *s = &br.sections[i];
        bool optional = s->kind == BR_TIR || s->kind == BR_WDIR;
        assert_int_equal(s->flags, !optional);
        assert_int_equal(s->align, s->kind != BR_WGHT ? 64 : s->size >= 8u << 20 ? 2u << 20 : 4096);
    }
}

static void compiled_blobs(void **state) {
    (void)state;
    static const char *const levels[] = {"ref", "avx2", "neon", "neon-dotprod"};
    TnCompileOptions o = {.levels = levels, .n_levels = 1, .max_rows = 16, .head = TN_ENC_COUNT};
#ifdef TERN_LLVM
    o.n_levels = TN_COUNT(levels);
#endif
    void *bytes;
    size_t size;
    TnBlobDest dest = {.memory = &bytes, .bytes = &size};
    TnCompileReport report;
    TernError err = {0};
    TnGraph *g = small_model();
    if (tn_compile(g, NULL, &small_facts, &o, &dest, &report, &err)) fail_msg("%s", err.text);
    tn_graph_destroy(g);
    same_facts(bytes, size);
    assert_int_equal(br.n_variants, 9 * o.n_levels);
    assert_int_equal(report.file_bytes, size);
    assert_int_equal(br.source_hash, small_facts.source_hash);
    check_order(o.n_levels - 1);
    check_directory();
    for (uint32_t i = 0; i < br.n_variants; i++) check_variant(&br.variants[i]);
    /* the text has a graph a variant, and a kernel a launch, in the same order */
    TnGraph **gs = NULL;
    uint32_t n = 0;
    TnDiag diag = {0};
    const BrSection *tir = br_find(&br, BR_TIR, 0);
    assert_int_equal(tn_parse((const char *)tir->bytes, tir->size, "TIR", &gs, &n, &diag), TERN_OK);
    assert_int_equal(n, br.n_variants);
    for (uint32_t i = 0; i < n; i++) {
        const BrVariant *v = &br.variants[i];
        assert_int_equal(gs[i]->rows_lo, v->rows_lo);
        assert_int_equal(gs[i]->n_kernels, v->n_launches);
        for (uint32_t k = 0; k < v->n_launches; k++) {
            BrText name;
            assert_true(br_range(br_find(&br, BR_PROG, i), v->launches + 64 * k + 56, &name));
            same_text(name, gs[i]->kernels[k].name);
        }
        tn_graph_destroy(gs[i]);
    }
    free(gs);
    /* bits of the head and table, and here and there of the rest */
    uint8_t *b = bytes;
    for (size_t at = 0; at < size; at += at < 8192 ? 7 : 9973) {
        b[at] ^= (uint8_t)(1 << at % 8);
        if (!br_read(bytes, size, &br)) fail_msg("byte %zu changed: the reader noticed nothing", at);
        b[at] ^= (uint8_t)(1 << at % 8);
    }
    tn_os_unmap(bytes, size);
}

/* A token reads neither the planes of a copy nor their arrays, though WGHT has them: one of 6 bits has one, one of 5 bits two. */
static void planes_are_not_read_whole(void **state) {
    (void)state;
    static const char *const levels[] = {"ref"};
    static const TnEnc heads[] = {TN_ENC_s6, TN_ENC_s5};
    uint64_t read[2], held[2], array = 4 * 128; /* of 97 rows, padded to a multiple of 64 */
    for (int i = 0; i < 2; i++) {
        TnCompileOptions o = {.levels = levels, .n_levels = 1, .max_rows = 16, .head = heads[i]};
        void *bytes;
        size_t size;
        TnBlobDest dest = {.memory = &bytes, .bytes = &size};
        TernError err = {0};
        TnGraph *g = small_model();
        if (tn_compile(g, NULL, &small_facts, &o, &dest, NULL, &err)) fail_msg("%s", err.text);
        tn_graph_destroy(g);
        if (br_read(bytes, size, &br)) fail_msg("%s: %s", br.place, br.fault);
        read[i] = br.variants[0].weight_bytes;
        held[i] = 0;
        const BrSection *s = br_find(&br, BR_WDIR, 0);
        for (uint32_t w = 0; w < br_u32(s->bytes); w++) {
            const uint8_t *e = s->bytes + 8 + 32 * w;
            BrText type = {0};
            assert_true(br_range(s, e + 24, &type));
            if (type.n > 3 && type.s[0] == 's' && type.s[2] == '[') held[i] = br_u64(e + 8);
        }
        tn_os_unmap(bytes, size);
    }
    assert_true(held[0] > 0);
    /* two arrays a plane, and the plane: 64 bytes a row of 192 weights */
    uint64_t plane = 2 * array + 64 * 97;
    assert_int_equal(read[0] - (held[0] - plane), read[1] - (held[1] - 2 * plane));
}

/* The threads and shared memory that an emitter sets are in the kernel's launch, where page and runtime read them. */
static void threads_of_a_launch(void **state) {
    (void)state;
    TnGraph **gs = NULL, *model = small_model();
    uint32_t n = 0;
    TnDiag diag = {0};
    static const char *const levels[] = {"ref"};
    TnCompileOptions o = {.levels = levels, .n_levels = 1, .max_rows = 16, .head = TN_ENC_COUNT};
    void *bytes;
    size_t size;
    TnBlobDest dest = {.memory = &bytes, .bytes = &size};
    TernError err = {0};
    if (tn_compile(model, NULL, &small_facts, &o, &dest, NULL, &err)) fail_msg("%s", err.text);
    tn_graph_destroy(model);
    assert_null(br_read(bytes, size, &br));
    const BrSection *tir = br_find(&br, BR_TIR, 0);
    assert_int_equal(tn_parse((const char *)tir->bytes, tir->size, "TIR", &gs, &n, &diag), TERN_OK);

    const TnGraph *g = gs[0];
    TnEmitJob *jobs = calloc(g->n_kernels, sizeof *jobs);
    uint32_t *exports = calloc(g->n_kernels, sizeof *exports);
    for (uint32_t k = 0; k < g->n_kernels; k++) {
        exports[k] = k;
        jobs[k] = (TnEmitJob){.threads = 32 * (k + 1), .shared = (1u << 18) - 16 * k};
    }
    TnWeightStore store = {0};
    TnBuf prog = {0}, plan = {0};
    if (tn_program_build(g, &(TnProgramCode){TN_LEVEL_AVX2, 1, jobs, exports}, &store, &prog, &plan, &err))
        fail_msg("%s", err.text);
    for (uint32_t k = 0; k < g->n_kernels; k++) {
        const uint8_t *l = (const uint8_t *)prog.data + 64 + 64 * k;
        const TnBlobLaunch *same = (const void *)l;
        assert_int_equal(br_u16(l + 50), 32 * (k + 1));
        assert_int_equal(br_u32(l + 52), (1u << 18) - 16 * k);
        assert_int_equal(same->threads, br_u16(l + 50));
        assert_int_equal(same->shared, br_u32(l + 52));
    }
    tn_store_free(&store);
    tn_buf_free(&prog);
    tn_buf_free(&plan);
    free(jobs);
    free(exports);
    for (uint32_t i = 0; i < n; i++) tn_graph_destroy(gs[i]);
    free(gs);
    tn_diag_free(&diag);
    tn_os_unmap(bytes, size);

    /* the most that both readers take */
    Maker maker = fake_maker(TN_LEVEL_REF, 300);
    TnBlobLaunch *l = (TnBlobLaunch *)(void *)(maker_find(&maker, TN_SECTION_PROG, 0)->bytes.data + 64);
    l->threads = 1024;
    l->shared = 1u << 18;
    Image image = maker_seal(&maker);
    same_facts(image.data, image.size);
    maker_free(&maker);
    free(image.data);
}

/* ---- damage */

/* Both readers refuse, naming the same place; the runtime sees WGHT when a session is made, which is not
 * asked here. */
static void refused_alike(const void *bytes, size_t size, size_t at) {
    TernModel *m = NULL;
    TernError err = {0};
    const char *place = br_read(bytes, size, &br);
    if (!place) fail_msg("byte %zu changed: the reader noticed nothing", at);
    TernStatus s = open_memory(bytes, size, &m, &err);
    if (s == TERN_OK) tern_model_close(m);
    if (strcmp(place, "section WGHT") == 0) return;
    if (s == TERN_OK || !strstr(err.text, place))
        fail_msg("byte %zu changed: '%s', but the runtime says '%s'", at, place, err.text);
}

static void every_bit_counts(void **state) {
    (void)state;
    Image image = fake_image();
    for (size_t i = 0; i < image.size; i++)
        for (int bit = 0; bit < 8; bit++) {
            image.data[i] ^= (uint8_t)(1 << bit);
            refused_alike(image.data, image.size, i);
            image.data[i] ^= (uint8_t)(1 << bit);
        }
    free(image.data);
}

static void every_truncation_counts(void **state) {
    (void)state;
    Image image = fake_image();
    for (size_t n = 0; n < image.size; n++) {
        uint8_t *cut = aligned_alloc(64, tn_round_up(n + 1, 64));
        memcpy(cut, image.data, n);
        refused_alike(cut, n, n);
        free(cut);
    }
    free(image.data);
}

/* ---- other contents under right hashes */

static uint64_t random_state = 1;
static uint32_t random_u32(void) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33);
}

/* A word of a section, or its length, becomes something else: often an edge. */
static void spoil(Maker *m) {
    static const uint32_t edges[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 63, 64, 65, 127, 128, 192, 256, 0xffffffff};
    Section *s = &m->s[random_u32() % m->n];
    if (s->row.kind == TN_SECTION_CHNK || s->row.kind == TN_SECTION_WGHT) return;
    if (random_u32() % 16 == 0) {
        s->bytes.len -= random_u32() % (uint32_t)(s->bytes.len + 1);
    } else if (s->bytes.len >= 4) {
        size_t at = random_u32() % (uint32_t)(s->bytes.len / 4) * 4;
        uint32_t word;
        memcpy(&word, s->bytes.data + at, 4);
        uint32_t how = random_u32() % 4;
        word = how == 0   ? edges[random_u32() % TN_COUNT(edges)]
               : how == 1 ? word + 1
               : how == 2 ? word - 1
                          : word ^ 1u << random_u32() % 32;
        memcpy(s->bytes.data + at, &word, 4);
    }
}

static void both_readers_agree(void **state) {
    (void)state;
    int good = 0, bad = 0;
    for (int i = 0; i < 20000; i++) {
        Maker maker = fake_maker(i % 2 ? TN_LEVEL_AVX2 : TN_LEVEL_REF, 300);
        spoil(&maker);
        Image image = maker_seal(&maker);
        TernModel *m = NULL;
        TernError err = {0};
        const char *place = br_read(image.data, image.size, &br);
        TernStatus s = open_memory(image.data, image.size, &m, &err);
        if (s == TERN_OK) tern_model_close(m);
        if ((s == TERN_OK) != !place)
            fail_msg("round %d: the reader says '%s: %s', the runtime '%s'", i, place ? place : "good",
                     place ? br.fault : "", err.text);
        if (place)
            bad++;
        else
            good++;
        maker_free(&maker);
        free(image.data);
    }
    assert_true(good > 1000 && bad > 1000);
}

/* Sections of kinds that the page does not know: skipped, or refused when they are required. */
static void unknown_kinds(void **state) {
    (void)state;
    for (uint32_t flags = 0; flags < 3; flags++) {
        Maker maker = fake_maker(TN_LEVEL_REF, 300);
        maker_find(&maker, 77, 0)->row.flags = flags;
        Image image = maker_seal(&maker);
        TernModel *m = NULL;
        TernStatus s = open_memory(image.data, image.size, &m, NULL);
        assert_int_equal(s == TERN_OK, flags == 0);
        assert_int_equal(br_read(image.data, image.size, &br) == NULL, flags == 0);
        if (s == TERN_OK) tern_model_close(m);
        maker_free(&maker);
        free(image.data);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reader_stands_alone), cmocka_unit_test(hand_made_blobs),
        cmocka_unit_test(compiled_blobs),          cmocka_unit_test(planes_are_not_read_whole),
        cmocka_unit_test(every_bit_counts),        cmocka_unit_test(every_truncation_counts),
        cmocka_unit_test(both_readers_agree),      cmocka_unit_test(unknown_kinds),
        cmocka_unit_test(threads_of_a_launch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
