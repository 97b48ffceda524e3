/* Decoders against decoders of one element at a time from the descriptions of the formats, scales that must be refused,
 * and SOURCE values in their layout. */
#include <math.h>
#include "tests/ir/tir_text.h"

/* ---- the formats again, one element at a time: row r, column c */

static float half_at(const uint8_t *p) {
    return tn_f16_to_f32((uint16_t)(p[0] | p[1] << 8));
}

static int i2s_at(const uint8_t *raw, size_t e) {
    return (raw[32 * (e / 128) + e % 32] >> (6 - 2 * (e % 128 / 32)) & 3) - 1;
}

static int tq2_at(const uint8_t *b, size_t e) {
    return (b[32 * (e / 128) + e % 32] >> 2 * (e % 128 / 32) & 3) - 1;
}

static int tq1_at(const uint8_t *b, size_t e) {
    static const unsigned pow3[] = {1, 3, 9, 27, 81};
    size_t byte, digit;
    if (e < 160)
        byte = e % 32, digit = e / 32;
    else if (e < 240)
        byte = 32 + (e - 160) % 16, digit = (e - 160) / 16;
    else
        byte = 48 + (e - 240) % 4, digit = (e - 240) / 4;
    return (int)((b[byte] * pow3[digit] % 256 * 3) / 256) - 1;
}

static int p64_at(const uint8_t *row, size_t e) {
    return (row[e / 256 * 64 + e % 64] >> 2 * (e % 256 / 64) & 3) - 1;
}

static float q6_k_at(const uint8_t *b, size_t e) {
    size_t h = e / 128, in = e % 128, l = in % 32, part = in / 32;
    unsigned low = b[64 * h + l + 32 * (part & 1)] >> 4 * (part / 2) & 15;
    unsigned high = b[128 + 32 * h + l] >> 2 * part & 3;
    return half_at(b + 208) * (float)(int8_t)b[192 + 8 * h + l / 16 + 2 * part] *
           (float)((int)(low | high << 4) - 32);
}

static float float_at(TnEnc enc, const uint8_t *row, size_t e) {
    float f;
    switch (enc) {
    case TN_ENC_f32:
        memcpy(&f, row + 4 * e, 4);
        return f;
    case TN_ENC_f16:
        return half_at(row + 2 * e);
    case TN_ENC_bf16:
        return tn_bits_f32((uint32_t)(row[2 * e] | row[2 * e + 1] << 8) << 16);
    case TN_ENC_q8_0:
        return half_at(row + e / 32 * 34) * (float)(int8_t)row[e / 32 * 34 + 2 + e % 32];
    default:
        return q6_k_at(row + e / 256 * 210, e % 256);
    }
}

static void check_floats(TnEnc enc, int64_t rows, int64_t k) {
    TnType t = tn_type(enc, 2, (TnDim)rows, (TnDim)k);
    size_t bytes = tn_raw_bytes(&t), laid = tn_type_bytes(&t, NULL);
    uint8_t *raw = calloc(1, bytes), *lay = calloc(1, laid);
    float *out = malloc((size_t)k * 4);
    random_bytes(raw, bytes);
    size_t raw_row = bytes / (size_t)rows, row = laid / (size_t)rows;
    for (int64_t r = 0; r < rows; r++) memcpy(lay + (size_t)r * row, raw + (size_t)r * raw_row, raw_row);
    for (int64_t r = 0; r < rows; r++)
        for (int form = 0; form < 2; form++) {
            memset(out, 0x55, (size_t)k * 4);
            if (form)
                tn_decode_row(&t, lay, r, out);
            else
                tn_decode_raw(&t, raw, r, out);
            for (int64_t c = 0; c < k; c++) {
                float want = float_at(enc, raw + (size_t)r * raw_row, (size_t)c);
                if (want != want)
                    assert_true(out[c] != out[c]);
                else
                    assert_int_equal(tn_f32_bits(out[c]), tn_f32_bits(want));
            }
        }
    free(raw), free(lay), free(out);
}

static void floats_decode(void **state) {
    (void)state;
    check_floats(TN_ENC_f32, 3, 65);
    check_floats(TN_ENC_f16, 40, 129);
    check_floats(TN_ENC_bf16, 3, 7);
    check_floats(TN_ENC_q8_0, 5, 32 * 3);
    check_floats(TN_ENC_q6_k, 3, 512);
}

static void every_half_decodes(void **state) {
    (void)state;
    TnType t = tn_type(TN_ENC_f16, 2, (TnDim)1, (TnDim)65536);
    uint16_t *h = malloc(65536 * 2);
    float *out = malloc(65536 * 4);
    for (unsigned i = 0; i < 65536; i++) h[i] = (uint16_t)i;
    tn_decode_row(&t, h, 0, out);
    for (unsigned i = 0; i < 65536; i++)
        assert_int_equal(tn_f32_bits(out[i]), tn_f32_bits(tn_f16_to_f32((uint16_t)i)));
    free(h), free(out);
}

static void check_trits(TnEnc enc, int64_t rows, int64_t k) {
    TnScale s = {rows, 0.5f};
    TnType t = tn_type(enc, 2, (TnDim)rows, (TnDim)k);
    t.n_scales = 1, t.scales = &s;
    size_t bytes = tn_type_bytes(&t, NULL), row = tn_row_bytes(&t);
    uint8_t *raw = malloc(bytes);
    int8_t *out = malloc((size_t)k);
    random_bytes(raw, bytes);
    for (int64_t r = 0; r < rows; r++) {
        tn_decode_trits(&t, raw, r, out);
        const uint8_t *p = raw + (size_t)r * row;
        for (size_t c = 0; c < (size_t)k; c++) {
            int want = enc == TN_ENC_i2s   ? i2s_at(raw, (size_t)r * (size_t)k + c)
                       : enc == TN_ENC_tq1 ? tq1_at(p + c / 256 * 54, c % 256)
                       : enc == TN_ENC_tq2 ? tq2_at(p + c / 256 * 66, c % 256)
                       : enc == TN_ENC_p64 ? p64_at(p, c)
                                           : (int8_t)p[c];
            assert_int_equal(out[c], want);
        }
    }
    free(raw), free(out);
}

static void trits_decode(void **state) {
    (void)state;
    check_trits(TN_ENC_i2s, 2, 256);
    check_trits(TN_ENC_i2s, 4, 96);   /* rows begin inside blocks, at 96, 64, 32 */
    check_trits(TN_ENC_i2s, 128, 13); /* and several rows lie in one block */
    check_trits(TN_ENC_i2s, 4, 67 * 32);
    check_trits(TN_ENC_tq1, 3, 512);
    check_trits(TN_ENC_tq2, 3, 512);
    check_trits(TN_ENC_p64, 3, 257);
    check_trits(TN_ENC_p64, 2, 5);
    check_trits(TN_ENC_t8, 3, 77);
}

static void p64_round_trip(void **state) {
    (void)state;
    static const int64_t ks[] = {1, 63, 64, 65, 255, 256, 257, 700};
    for (size_t i = 0; i < sizeof ks / sizeof *ks; i++) {
        TnScale s = {1, 1.0f};
        TnType t = tn_type(TN_ENC_p64, 2, (TnDim)1, (TnDim)ks[i]);
        t.n_scales = 1, t.scales = &s;
        int8_t in[700], out[700];
        uint8_t row[192];
        for (int c = 0; c < 700; c++) in[c] = (int8_t)(random_u32() % 3) - 1;
        memset(row, 0xff, sizeof row);
        tn_encode_trits(&t, in, row);
        tn_decode_trits(&t, row, 0, out);
        assert_memory_equal(in, out, (size_t)ks[i]);
        for (size_t c = (size_t)ks[i]; c < tn_row_bytes(&t) * 4; c++) assert_int_equal(p64_at(row, c), 0);
    }
}

/* A scale a row: after the rows of p64, also for a concat; kept rows keep theirs. */
static void scales_a_row(void **state) {
    (void)state;
    TnGraph *g = tn_graph_create("g");
    TnType t = tn_type(TN_ENC_t8, 2, (TnDim)3, (TnDim)70);
    t.group = TN_GROUP_ROW;
    TnAttr seed = {.key = TN_ATTR_seed, .i = 1}, mask = {.key = TN_ATTR_mask, .s = "a"};
    TnRef w[2] = {tn_node_add(g, TN_OP_random, "a", &t, NULL, 0, &seed, 1)};
    seed.i = 2;
    w[1] = tn_node_add(g, TN_OP_random, "b", &t, NULL, 0, &seed, 1);
    TnRef cat = tn_node_add(g, TN_OP_concat, "c", NULL, w, 2, NULL, 0);
    t = g->nodes[cat].type;
    assert_int_equal(t.dim[0], 6);
    t.enc = TN_ENC_p64;
    TnRef p = tn_node_add(g, TN_OP_pack, "p", &t, &cat, 1, NULL, 0);
    float all[6], one[3];
    uint8_t *data = malloc(tn_type_bytes(&t, NULL));
    assert_int_equal(tn_tail_bytes(&t), 24);
    assert_int_equal(tn_weight_all(g, p, NULL, data, NULL), TERN_OK);
    for (int64_t r = 0; r < 6; r++) tn_decode_scales(&t, data, r, &all[r]);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tn_weight_tail(g, w[i], NULL, one, NULL), TERN_OK);
        assert_memory_equal(one, all + 3 * i, sizeof one);
        for (int r = 0; r < 3; r++) assert_true(one[r] > 0 && one[r] <= 1);
    }
    TnAttr n = {.key = TN_ATTR_n, .i = 3};
    TnRef places = tn_node_add(g, TN_OP_places, "places", NULL, NULL, 0, &mask, 1);
    TnRef kept = tn_node_add(g, TN_OP_keep_rows, "kept", NULL, (TnRef[]){w[0], places}, 2, &n, 1);
    assert_int_equal(tn_weight_tail(g, kept, NULL, one, NULL), TERN_OK);
    assert_true(one[0] == all[0] && one[1] == all[2] && one[2] == 0.0f);
    free(data);
    tn_graph_destroy(g);
}

static void check_narrow(const float *x, size_t n) {
    TnType h = tn_type(TN_ENC_f16, 1, (TnDim)n), b = tn_type(TN_ENC_bf16, 1, (TnDim)n);
    uint16_t *out = malloc(tn_row_bytes(&h));
    tn_encode_row(&h, x, out);
    for (size_t i = 0; i < n; i++)
        if (out[i] != tn_f32_to_f16(x[i])) fail_msg("%a as f16: %04x", (double)x[i], out[i]);
    tn_encode_row(&b, x, out);
    for (size_t i = 0; i < n; i++) assert_int_equal(out[i], tn_f32_to_bf16(x[i]));
    free(out);
}

static void floats_encode(void **state) {
    (void)state;
    /* every half, the ties between neighbours, and a hair to either side of these */
    enum { N = 65536 };
    float *x = malloc(N * 4 * sizeof(float));
    for (uint32_t i = 0; i < N; i++) {
        uint32_t low = tn_f32_bits(tn_f16_to_f32((uint16_t)i)),
                 high = tn_f32_bits(tn_f16_to_f32((uint16_t)(i + 1)));
        uint32_t tie = low / 2 + high / 2 + (low & high & 1);
        x[4 * i] = tn_bits_f32(low);
        x[4 * i + 1] = tn_bits_f32(tie);
        x[4 * i + 2] = tn_bits_f32(tie + 1);
        x[4 * i + 3] = tn_bits_f32(tie - 1);
    }
    check_narrow(x, N * 4);
    for (size_t i = 0; i < N * 4; i++) x[i] = tn_bits_f32(random_u32() << 1 ^ random_u32());
    check_narrow(x, N * 4);
    free(x);
}

/* ---- scales */

static TnType one_scale(TnEnc enc, int64_t rows, int64_t k, TnScale *s) {
    TnType t = tn_type(enc, 2, (TnDim)rows, (TnDim)k);
    *s = (TnScale){rows, 0.0f};
    t.n_scales = 1, t.scales = s;
    return t;
}

static void i2s_scale(void **state) {
    (void)state;
    TnScale s;
    TnType t = one_scale(TN_ENC_i2s, 2, 128, &s);
    uint8_t raw[96];
    float scale = 0.75f;
    TnStoredScale got;
    TernError err = {0};
    memset(raw, 0x55, 64);
    memset(raw + 64, 0xee, 32); /* the bytes after the scale may be anything */
    memcpy(raw + 64, &scale, 4);
    assert_int_equal(tn_stored_scale(&t, raw, "w", &got, &err), TERN_OK);
    assert_true(got.scale == 0.75f && !got.group);
    raw[37] = 0x5d;
    assert_int_equal(tn_stored_scale(&t, raw, "blk.0.x", &got, &err), TERN_ERR_INPUT);
    assert_non_null(strstr(err.text, "blk.0.x"));
    assert_non_null(strstr(err.text, "byte 37"));
    raw[37] = 0x55;
    scale = NAN;
    memcpy(raw + 64, &scale, 4);
    assert_int_equal(tn_stored_scale(&t, raw, "w", &got, &err), TERN_ERR_INPUT);
}

/* One scale where all blocks but those of zeros agree, else one a block. */
static void tq_scales(void **state) {
    (void)state;
    static const TnEnc encs[] = {TN_ENC_tq1, TN_ENC_tq2};
    for (int i = 0; i < 2; i++) {
        TnScale s;
        TnType t = one_scale(encs[i], 3, 512, &s);
        size_t block = tn_encs[encs[i]].block_bytes;
        uint8_t raw[6 * 66];
        /* all zero trits: tq1 0x80 is digits 1 1 1 1 1 */
        for (int b = 0; b < 6; b++) {
            uint8_t *p = raw + (size_t)b * block;
            memset(p, encs[i] == TN_ENC_tq1 ? 0x80 : 0x55, block - 2);
            uint16_t d = (uint16_t)(0x3c00 + b); /* each block another scale */
            memcpy(p + block - 2, &d, 2);
        }
        TnStoredScale got;
        TernError err = {0};
        assert_int_equal(tn_stored_scale(&t, raw, "w", &got, &err), TERN_OK); /* nothing but zeros */
        assert_true(got.scale == 0.0f && !got.group);
        raw[2 * block] = 0;
        assert_int_equal(tn_stored_scale(&t, raw, "w", &got, &err), TERN_OK);
        assert_true(got.scale == tn_f16_to_f32(0x3c02) && !got.group);
        raw[5 * block + 3] = 0;
        assert_int_equal(tn_stored_scale(&t, raw, "w", &got, &err), TERN_OK);
        assert_int_equal(got.group, 256);
        TnType grouped = tn_type(encs[i], 2, (TnDim)3, (TnDim)512);
        float row[2];
        grouped.group = got.group;
        tn_decode_scales(&grouped, raw, 2, row);
        assert_true(row[0] == tn_f16_to_f32(0x3c04) && row[1] == tn_f16_to_f32(0x3c05));
        uint16_t infinite = 0x7c00,
                 was = 0x3c01; /* of a block of zeros: of no account, unless blocks differ */
        memcpy(raw + 2 * block - 2, &infinite, 2);
        assert_int_equal(tn_stored_scale(&t, raw, "blk.1.y", &got, &err), TERN_ERR_INPUT);
        assert_non_null(strstr(err.text, "blk.1.y"));
        assert_non_null(strstr(err.text, "block 1"));
        memcpy(raw + 2 * block - 2, &was, 2);
        uint16_t same = 0x3c02;
        memcpy(raw + 6 * block - 2, &same, 2);
        assert_int_equal(tn_stored_scale(&t, raw, "w", &got, &err), TERN_OK);
        if (encs[i] != TN_ENC_tq2) continue;
        raw[block] = 0xc0;
        assert_int_equal(tn_stored_scale(&t, raw, "w", &got, &err), TERN_ERR_INPUT);
        assert_non_null(strstr(err.text, "code 3"));
    }
}

static void dense_scale(void **state) {
    (void)state;
    TnType t = tn_type(TN_ENC_f32, 2, (TnDim)2, (TnDim)3);
    float m[6] = {0, -0.25f, 0.25f, 0.25f, -0.0f, 0}, got;
    TernError err = {0};
    assert_int_equal(tn_dense_scale(&t, m, "w", &got, &err), TERN_OK);
    assert_true(got == 0.25f);
    m[4] = 0.5f;
    assert_int_equal(tn_dense_scale(&t, m, "w", &got, &err), TERN_ERR_INPUT);
    assert_non_null(strstr(err.text, "row 1 column 1 is 0.5"));
    memset(m, 0, sizeof m);
    assert_int_equal(tn_dense_scale(&t, m, "w", &got, &err), TERN_OK);
    assert_true(got == 0.0f);
    m[0] = NAN;
    assert_int_equal(tn_dense_scale(&t, m, "w", &got, &err), TERN_ERR_INPUT);
}

/* ---- SOURCE values */

typedef struct File {
    const char *name;
    uint8_t *bytes;
    size_t n;
} File;

static const void *find(void *ctx, const char *name, size_t *out_bytes) {
    for (File *f = ctx; f->name; f++)
        if (strcmp(f->name, name) == 0) {
            *out_bytes = f->n;
            return f->bytes;
        }
    return NULL;
}

static void *all_of(const TnGraph *g, const char *name, const TnWeights *w) {
    TnRef r = ref_of(g, name);
    size_t bytes = tn_type_bytes(&g->nodes[r].type, NULL);
    void *p = malloc(bytes);
    memset(p, 0xee, bytes);
    TernError err = {0};
    if (tn_weight_all(g, r, w, p, &err) != TERN_OK) fail_msg("%s", err.text);
    return p;
}

static void concat_then_pack(void **state) {
    (void)state;
    TnGraph *g = graph_of("  $a: i2s[4,192] scale=0x1p-1 = gguf {name=\"a\", hash=0x0}\n"
                          "  $b: t8[3,192] scale=0x1p-2 = random {seed=9}\n"
                          "  $c: t8[7,192] scale=[4:0x1p-1,3:0x1p-2] = concat $a, $b\n"
                          "  $p: p64[7,192] scale=[4:0x1p-1,3:0x1p-2] = pack $c\n");
    uint8_t raw[4 * 192 / 4 + 32];
    for (size_t i = 0; i < sizeof raw; i++) { /* codes 0 to 2 alone */
        raw[i] = 0;
        for (int q = 0; q < 4; q++) raw[i] |= (uint8_t)(random_u32() % 3 << 2 * q);
    }
    File files[] = {{"a", raw, sizeof raw}, {0}};
    TnWeights w = {.find = find, .ctx = files};
    int8_t *b = all_of(g, "b", &w), *c = all_of(g, "c", &w);
    uint8_t *p = all_of(g, "p", &w);
    for (size_t r = 0; r < 7; r++)
        for (size_t k = 0; k < 192; k++) {
            int want = r < 4 ? i2s_at(raw, r * 192 + k) : b[(r - 4) * 192 + k];
            assert_int_equal(c[r * 192 + k], want);
            assert_int_equal(p64_at(p + r * 64, k), want);
        }
    float tail[2];
    memcpy(tail, p + 7 * 64, 8);
    assert_true(tail[0] == 0.5f && tail[1] == 0.25f);
    /* streamed in pieces: the same bytes */
    uint8_t piece[7 * 64];
    TernError err = {0};
    assert_int_equal(tn_weight_rows(g, ref_of(g, "p"), &w, 0, 3, piece, &err), TERN_OK);
    assert_int_equal(tn_weight_rows(g, ref_of(g, "p"), &w, 3, 7, piece + 3 * 64, &err), TERN_OK);
    assert_memory_equal(piece, p, sizeof piece);
    /* a tensor that is missing, and one that is short */
    files[0].n--;
    assert_int_equal(tn_weight_all(g, ref_of(g, "p"), &w, p, &err), TERN_ERR_INPUT);
    assert_non_null(strstr(err.text, "tensor a: has 223 bytes, expected 224"));
    files[0].name = "z";
    assert_int_equal(tn_weight_all(g, ref_of(g, "p"), &w, p, &err), TERN_ERR_INPUT);
    assert_non_null(strstr(err.text, "tensor a: not in the model file"));
    free(b), free(c), free(p);
    tn_graph_destroy(g);
}

/* Blocks of 256 rows, the last one filled with zeros; any split of the rows. A copy of a copy would cost 256 rows for each of its own. */
static void columns_are_blocks_of_rows(void **state) {
    (void)state;
    TnGraph *g = graph_of("  $a: t8[300,5] scale=[100:0x1p-1,200:0x1p-2] = random {seed=9}\n"
                          "  $c: t8[10,256] scale=0x1p+0 = colmajor $a\n"
                          "  $p: p64[10,256] scale=0x1p+0 = pack $c\n"
                          "  $d: t8[256,256] scale=0x1p+0 = colmajor $c\n");
    int8_t *a = all_of(g, "a", NULL), *c = all_of(g, "c", NULL);
    uint8_t *p = all_of(g, "p", NULL), piece[10 * 64];
    for (size_t r = 0; r < 10; r++)
        for (size_t i = 0; i < 256; i++) {
            size_t row = r / 5 * 256 + i;
            int want = row < 300 ? a[row * 64 + r % 5] : 0; /* rows are padded to 64 */
            assert_int_equal(c[r * 256 + i], want);
            assert_int_equal(p64_at(p + r * 64, i), want);
        }
    TernError err;
    for (int64_t r = 10; r-- > 0;) /* one by one, from the last */
        assert_int_equal(tn_weight_rows(g, ref_of(g, "p"), NULL, r, r + 1, piece + r * 64, &err), TERN_OK);
    assert_memory_equal(piece, p, sizeof piece);
    assert_int_equal(tn_weight_rows(g, ref_of(g, "d"), NULL, 0, 1, piece, &err), TERN_ERR_UNSUPPORTED);
    assert_string_equal(err.text, "colmajor $c: read by another colmajor, expected one alone");
    free(a), free(c), free(p);
    tn_graph_destroy(g);
}

static void dense_rows_are_padded_with_zeros(void **state) {
    (void)state;
    TnGraph *g = graph_of("  $a: f16[3,5] = gguf {name=\"a\", hash=0x0}\n"
                          "  $b: f32[3,5] = pack $a\n"
                          "  $n: f32[5] = gguf {name=\"n\", hash=0x0}\n"
                          "  $q: q8_0[1,64] = gguf {name=\"q\", hash=0x0}\n");
    uint16_t a[15];
    float n[5] = {1, 2, 3, 4, 5};
    uint8_t q[68];
    for (int i = 0; i < 15; i++) a[i] = (uint16_t)(0x3c00 + 37 * i);
    random_bytes(q, sizeof q);
    File files[] = {{"a", (uint8_t *)a, sizeof a}, {"n", (uint8_t *)n, sizeof n}, {"q", q, sizeof q}, {0}};
    TnWeights w = {.find = find, .ctx = files};
    uint16_t *la = all_of(g, "a", &w);
    float *lb = all_of(g, "b", &w), *ln = all_of(g, "n", &w);
    uint8_t *lq = all_of(g, "q", &w);
    for (int r = 0; r < 3; r++)
        for (int c = 0; c < 64; c++) {
            assert_int_equal(la[r * 64 + c], c < 5 ? a[r * 5 + c] : 0);
            assert_int_equal(tn_f32_bits(lb[r * 64 + c]),
                             c < 5 ? tn_f32_bits(tn_f16_to_f32(a[r * 5 + c])) : 0);
        }
    for (int c = 0; c < 64; c++) assert_true(ln[c] == (c < 5 ? (float)(c + 1) : 0.0f));
    assert_memory_equal(lq, q, sizeof q);
    free(la), free(lb), free(ln), free(lq);
    tn_graph_destroy(g);
}

static void packing_rounds_to_nearest_even(void **state) {
    (void)state;
    /* 1 + 2^-11 is half way to the next half; 1 + 3*2^-11 too; 2^-8 and 3*2^-8 likewise for bf16 */
    TnGraph *g = graph_of("  $c: f32[1,4] = const {values=[0x1.002p+0,0x1.006p+0,0x1.01p+0,0x1.03p+0]}\n"
                          "  $h: f16[1,4] = pack $c\n"
                          "  $b: bf16[1,4] = pack $c\n"
                          "  $d: f32[1,4] = pack $b\n"
                          "  $t: t8[1,4] scale=0x1p+0 = const {values=[0x1p+0,0x0p+0,-0x1p+0,0x1p+0]}\n");
    uint16_t *h = all_of(g, "h", NULL), *b = all_of(g, "b", NULL);
    float *d = all_of(g, "d", NULL);
    int8_t *t = all_of(g, "t", NULL);
    assert_int_equal(h[0], 0x3c00);
    assert_int_equal(h[1], 0x3c02);
    assert_int_equal(b[2], 0x3f80);
    assert_int_equal(b[3], 0x3f82);
    assert_true(d[2] == 1.0f && d[3] == 0x1.04p+0f); /* the way through bf16 shows */
    assert_true(t[0] == 1 && t[1] == 0 && t[2] == -1 && t[3] == 1 && t[4] == 0);
    free(h), free(b), free(d), free(t);
    tn_graph_destroy(g);
}

static void signs_of_a_dense_ternary(void **state) {
    (void)state;
    TnGraph *g = graph_of("  $c: f32[2,3] = const {values=[0x1p-3,0x0p+0,-0x1p-3,-0x0p+0,0x1p-3,0x1p-3]}\n"
                          "  $t: t8[2,3] scale=0x1p-3 = pack $c\n"
                          "  $p: p64[2,3] scale=0x1p-3 = pack $t\n");
    static const int want[6] = {1, 0, -1, 0, 1, 1};
    uint8_t *p = all_of(g, "p", NULL);
    for (size_t i = 0; i < 6; i++) assert_int_equal(p64_at(p + i / 3 * 64, i % 3), want[i]);
    free(p);
    tn_graph_destroy(g);
}

static void random_is_a_function_of_the_index(void **state) {
    (void)state;
    TnGraph *g = graph_of("  $f: f32[3,70] = random {seed=1234567}\n"
                          "  $h: f16[3,70] = random {seed=1234567}\n"
                          "  $t: t8[30,1000] scale=0x1p+0 = random {seed=5}\n");
    float *f = all_of(g, "f", NULL);
    uint16_t *h = all_of(g, "h", NULL);
    int8_t *t = all_of(g, "t", NULL);
    /* splitmix64 of 1234567 begins 6457827717110365317, 3203168211198807973 (its authors' test vector) */
    assert_true(f[0] == (float)(6457827717110365317u >> 40) * 0x1p-23f - 1.0f);
    assert_true(f[1] == (float)(3203168211198807973u >> 40) * 0x1p-23f - 1.0f);
    float low = 1, high = -1;
    for (int r = 0; r < 3; r++)
        for (int c = 0; c < 70; c++) {
            float x = f[r * 128 + c];
            assert_true(x >= -1.0f && x < 1.0f);
            assert_int_equal(h[r * 128 + c], tn_f32_to_f16(x));
            low = x < low ? x : low, high = x > high ? x : high;
        }
    assert_true(low < -0.9f && high > 0.9f);
    int count[3] = {0};
    for (int r = 0; r < 30; r++)
        for (int c = 0; c < 1000; c++) count[t[r * 1024 + c] + 1]++;
    for (int i = 0; i < 3; i++) assert_in_range(count[i], 9700, 10300);
    free(f), free(h), free(t);
    tn_graph_destroy(g);
}

static void rope_frequencies(void **state) {
    (void)state;
    TnGraph *g = graph_of("  $f: f32[3] = const {values=[0x1p+0,0x1p+1,0x1p+5]}\n"
                          "  $a: f32[2,3] = rope_freq {base=0x1.388p+13}\n"
                          "  $b: f32[2,3] = rope_freq $f {base=0x1.388p+13}\n"
                          "  $z: f32[3] = const {values=[0x1p+0,0x0p+0,0x1p+0]}\n"
                          "  $bad: f32[2,3] = rope_freq $z {base=0x1.388p+13}\n");
    static const double factor[3] = {1, 2, 32};
    float *a = all_of(g, "a", NULL), *b = all_of(g, "b", NULL);
    for (int i = 0; i < 3; i++) {
        double u = pow(10000.0, -i / 3.0) / (2 * acos(-1.0));
        assert_true(a[i] == (float)u);
        assert_true(fabs((double)a[i] + (double)a[64 + i] - u) < 1e-14 * u);
        assert_true(fabs((double)b[i] + (double)b[64 + i] - u / factor[i]) < 1e-14 * u);
    }
    float bad[128];
    TernError err = {0};
    assert_int_equal(tn_weight_all(g, ref_of(g, "bad"), NULL, bad, &err), TERN_ERR_INPUT);
    assert_non_null(strstr(err.text, "frequency 1"));
    free(a), free(b);
    tn_graph_destroy(g);
}

static void endless_nesting_is_refused(void **state) {
    (void)state;
    TnBuf b = {0};
    tn_buf_puts(&b, "  $p0: f32[1,1] = const {values=[0x1p+0]}\n");
    for (int i = 1; i < 1000; i++) tn_buf_printf(&b, "  $p%d: f32[1,1] = pack $p%d\n", i, i - 1);
    TnGraph *g = graph_of(b.data);
    float out[64];
    TernError err = {0};
    assert_int_equal(tn_weight_all(g, ref_of(g, "p200"), NULL, out, &err), TERN_OK);
    assert_true(out[0] == 1.0f);
    assert_int_equal(tn_weight_all(g, ref_of(g, "p999"), NULL, out, &err), TERN_ERR_UNSUPPORTED);
    tn_buf_free(&b);
    tn_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(floats_decode),
        cmocka_unit_test(every_half_decodes),
        cmocka_unit_test(floats_encode),
        cmocka_unit_test(trits_decode),
        cmocka_unit_test(p64_round_trip),
        cmocka_unit_test(scales_a_row),
        cmocka_unit_test(i2s_scale),
        cmocka_unit_test(tq_scales),
        cmocka_unit_test(dense_scale),
        cmocka_unit_test(concat_then_pack),
        cmocka_unit_test(columns_are_blocks_of_rows),
        cmocka_unit_test(dense_rows_are_padded_with_zeros),
        cmocka_unit_test(packing_rounds_to_nearest_even),
        cmocka_unit_test(signs_of_a_dense_ternary),
        cmocka_unit_test(random_is_a_function_of_the_index),
        cmocka_unit_test(rope_frequencies),
        cmocka_unit_test(endless_nesting_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
