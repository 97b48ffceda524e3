#include "ir/stored_tiles.h"

#include <string.h>
#include "runtime/base/reader.h"

/* ---- The sizes of tiles */

/* The shapes for which bitnet.cpp's setup_env.py generates kernels: bitnet_b1_58-large, bitnet_b1_58-3B, Llama3-8B-1.58. */
static const struct {
    int64_t rows, cols;
    TnTlTiles tl1, tl2;
} known[] = {
    {1536, 4096, {256, 128, 32, true}, {256, 96, 32, true}},
    {1536, 1536, {128, 64, 64, true}, {128, 192, 32, true}},
    {4096, 1536, {256, 128, 32, true}, {256, 96, 32, true}},
    {3200, 8640, {160, 64, 32, true}, {160, 96, 32, true}},
    {3200, 3200, {320, 128, 64, true}, {320, 96, 32, true}},
    {8640, 3200, {320, 64, 32, true}, {320, 96, 32, true}},
    {14336, 4096, {256, 128, 32, true}, {256, 96, 32, true}},
    {4096, 14336, {128, 64, 64, true}, {128, 96, 32, true}},
    {1024, 4096, {256, 128, 32, true}, {256, 96, 32, true}},
    {4096, 4096, {128, 64, 64, true}, {128, 96, 32, true}},
};

/* The largest power of two that divides n, at most `most`. */
static int64_t power(int64_t n, int64_t most) {
    int64_t p = n & -n;
    return p < most ? p : most;
}

/* Columns of a block of tl1. A block has 256 elements. */
static int64_t block_cols(const TnTlTiles *t) {
    return 256 / t->block_rows;
}

static int64_t in_triples(const TnTlTiles *t, int64_t cols) {
    return cols / t->tile_cols * t->tile_cols;
}

bool tn_tl_divides(TnEnc enc, const TnTlTiles *t, int64_t rows, int64_t cols) {
    if (rows % t->tile_rows || t->tile_rows % t->block_rows) return false;
    if (enc == TN_ENC_tl1) return cols % t->tile_cols == 0 && t->tile_cols % block_cols(t) == 0;
    int64_t pairs = cols - in_triples(t, cols); /* files reserve bytes for 256 of these, no more */
    return cols >= 256 && pairs % 32 == 0 && pairs <= 256;
}

bool tn_tl_tiles(TnEnc enc, int64_t rows, int64_t cols, TnTlTiles *out) {
    TN_CHECK(enc == TN_ENC_tl1 || enc == TN_ENC_tl2);
    *out = (TnTlTiles){power(rows, 256), enc == TN_ENC_tl1 ? power(cols, 128) : 96, 32, false};
    for (size_t i = 0; i < TN_COUNT(known); i++)
        if (known[i].rows == rows && known[i].cols == cols)
            *out = enc == TN_ENC_tl1 ? known[i].tl1 : known[i].tl2;
    return tn_tl_divides(enc, out, rows, cols);
}

static TnTlTiles tiles_of(const TnType *t) {
    TnTlTiles tiles;
    if (!tn_tl_tiles(t->enc, t->dim[0], t->dim[1], &tiles)) TN_BUG("no tiles for %s", tn_encs[t->enc].name);
    return tiles;
}

bool tn_enc_is_tiled(TnEnc e) {
    return e == TN_ENC_tl1 || e == TN_ENC_tl2 || e == TN_ENC_iq2bn4 || e == TN_ENC_i2s4;
}

/* The size of tl2 is the one that the writer of the file reserves: triples for all but the last 256 columns. */
size_t tn_tiled_bytes(TnEnc enc, int64_t rows, int64_t cols) {
    size_t m = (size_t)rows, k = (size_t)cols;
    if (enc == TN_ENC_tl1 || enc == TN_ENC_i2s4) return m * k / 4;
    if (enc == TN_ENC_iq2bn4) return m * (4 + k / 4);
    return tn_round_up((k - 256) * m / 3 * 5 / 8 + 256 * m / 2 * 4 / 8, 32);
}

/* ---- Rows */

/* Nibble h of a byte; the high one is number 0. */
static int nibble(uint8_t byte, int64_t h) {
    return h ? byte & 15 : byte >> 4;
}

/* A pair is 3a + b + 4. */
static void put_pair(int code, int8_t *out) {
    out[0] = (int8_t)(code / 3 - 1);
    out[1] = (int8_t)(code % 3 - 1);
}

/* For each band of tile_rows rows, tiles from left to right. In a tile, bands of block_rows rows, each of blocks from left
 * to right. In a block, sixteen rows at a time; byte r has two neighbouring pairs of row r. */
static void tl1_row(const TnType *t, const TnTlTiles *tiles, const uint8_t *raw, int64_t row, int8_t *out) {
    TnTlTiles s = *tiles;
    int64_t k = t->dim[1], width = block_cols(&s), in_tile = row % s.tile_rows,
            in_block = in_tile % s.block_rows;
    int64_t blocks = s.tile_cols / width, sixteens = s.block_rows / 16, quads = width / 4;
    for (int64_t tile = 0; tile < k / s.tile_cols; tile++)
        for (int64_t block = 0; block < blocks; block++)
            for (int64_t quad = 0; quad < quads; quad++) {
                int64_t at = row / s.tile_rows * (k / s.tile_cols) + tile;
                at = at * (s.tile_rows / s.block_rows) + in_tile / s.block_rows;
                at = (at * blocks + block) * sixteens + in_block / 16;
                at = (at * quads + quad) * 16 + in_block % 16;
                put_pair(nibble(raw[at], 0), out);
                put_pair(nibble(raw[at], 1), out + 2);
                out += 4;
            }
}

/* In 32 rows, the second and third groups of eight are swapped. */
static int64_t lane(int64_t row) {
    static const int64_t eights[4] = {0, 2, 1, 3};
    return 8 * eights[row / 8] + row % 8;
}

/* The number of the 32 rows that contain `row` in tile `tile`, counted over all tiles; tiles of a band lie side by side. */
static int64_t band_of(int64_t row, int64_t tile_rows, int64_t tiles, int64_t tile) {
    return (row / tile_rows * tiles + tile) * (tile_rows / 32) + row % tile_rows / 32;
}

static int sign_of(const uint8_t *words, int64_t word, int64_t bit) {
    int64_t low = 2 * word;
    return (words[low] | words[low + 1] << 8) >> bit & 1;
}

/* Decodes a triple, 9a + 3b + c as magnitude and sign. Adding 13 gives a number whose base-3 digits are a, b, c plus 1. */
static void put_triple(int size, int negative, int8_t *out) {
    int v = (negative ? -size : size) + 13;
    out[0] = (int8_t)(v / 9 - 1);
    out[1] = (int8_t)(v / 3 % 3 - 1);
    out[2] = (int8_t)(v % 3 - 1);
}

static void tl2_triples(const uint8_t *raw, const TnTlTiles *s, int64_t rows, int64_t k3, int64_t row,
                        int8_t *out) {
    const uint8_t *signs = raw + rows * k3 / 6;
    int64_t in = row % 32, units = s->tile_cols / 3; /* triples in a row of a tile */
    for (int64_t i = 0; i < k3 / 3; i++, out += 3) {
        int64_t unit = i % units, band = band_of(row, s->tile_rows, k3 / s->tile_cols, i / units);
        uint8_t byte = raw[(band * (units / 2) + unit / 2) * 32 + lane(in)];
        int64_t word = (band * (units / 8) + unit / 8) * 16 + in % 16;
        put_triple(nibble(byte, unit % 2), sign_of(signs, word, 15 - (2 * (unit % 8) + in / 16)), out);
    }
}

static void tl2_pairs(const uint8_t *raw, const TnTlTiles *s, int64_t k2, int64_t row, int8_t *out) {
    for (int64_t i = 0; i < k2 / 2; i++, out += 2) {
        int64_t band = band_of(row, s->tile_rows, k2 / 32, i / 16);
        put_pair(nibble(raw[(band * 8 + i % 16 / 2) * 32 + lane(row % 32)], i % 2), out);
    }
}

/* First the magnitudes of all triples, then their signs, then the pairs of the remaining columns. */
static void tl2_row(const TnType *t, const TnTlTiles *s, const uint8_t *raw, int64_t row, int8_t *out) {
    int64_t rows = t->dim[0], k = t->dim[1], k3 = in_triples(s, k);
    tl2_triples(raw, s, rows, k3, row, out);
    tl2_pairs(raw + rows * k3 / 6 + rows * k3 / 24, s, k - k3, row, out + k3);
}

/* Four rows: their f32 scales, then 64 bytes for every 64 columns. Byte 16l + 4r + i has in bits 2q.. column 16l + i + 4q of
 * row r. */
static void iq2bn4_row(const TnType *t, const uint8_t *raw, int64_t row, int8_t *out) {
    int64_t k = t->dim[1];
    const uint8_t *b = raw + row / 4 * (16 + k) + 16;
    for (int64_t c = 0; c < k; c++) {
        int64_t in = c % 16;
        out[c] = (int8_t)((b[c / 16 * 16 + row % 4 * 4 + in % 4] >> 2 * (in / 4) & 3) - 1);
    }
}

/* One byte for a column of four rows, with the first row in the highest bits. */
static void i2s4_row(const TnType *t, const uint8_t *raw, int64_t row, int8_t *out) {
    const uint8_t *b = raw + row / 4 * t->dim[1];
    int64_t shift = 6 - 2 * (row % 4);
    for (int64_t c = 0; c < t->dim[1]; c++) out[c] = (int8_t)((b[c] >> shift & 3) - 1);
}

void tn_tl_trits(const TnType *t, const TnTlTiles *tiles, const uint8_t *raw, int64_t row, int8_t *out) {
    (t->enc == TN_ENC_tl1 ? tl1_row : tl2_row)(t, tiles, raw, row, out);
}

void tn_tiled_trits(const TnType *t, const uint8_t *raw, int64_t row, int8_t *out) {
    if (t->enc == TN_ENC_i2s4) {
        i2s4_row(t, raw, row, out);
    } else if (t->enc == TN_ENC_iq2bn4) {
        iq2bn4_row(t, raw, row, out);
    } else {
        TnTlTiles tiles = tiles_of(t);
        tn_tl_trits(t, &tiles, raw, row, out);
    }
}

/* ---- Codes that stand for nothing */

/* The first byte of [lo, hi) with a nibble above `most`; hi if there is none. */
static size_t above(const uint8_t *p, size_t lo, size_t hi, int most) {
    while (lo < hi && (p[lo] & 15) <= most && p[lo] >> 4 <= most) lo++;
    return lo;
}

static TernStatus bad_nibble(const uint8_t *raw, size_t at, int most, const char *name, TernError *err) {
    return tn_fail(err, TERN_ERR_INPUT, "tensor %s: byte %zu is 0x%02x, expected two codes of at most %d",
                   name, at, raw[at], most);
}

TernStatus tn_tl_check(const TnType *t, const TnTlTiles *tiles, const uint8_t *raw, const char *name,
                       TernError *err) {
    size_t rows = (size_t)t->dim[0], k = (size_t)t->dim[1];
    if (t->enc == TN_ENC_tl1) {
        size_t at = above(raw, 0, rows * k / 4, 8);
        return at < rows * k / 4 ? bad_nibble(raw, at, 8, name, err) : TERN_OK;
    }
    size_t k3 = (size_t)in_triples(tiles, t->dim[1]), sizes = rows * k3 / 6, pairs = sizes + rows * k3 / 24,
           end = pairs + rows * (k - k3) / 4;
    size_t at = above(raw, 0, sizes, 13);
    if (at < sizes) return bad_nibble(raw, at, 13, name, err);
    at = above(raw, pairs, end, 8);
    return at < end ? bad_nibble(raw, at, 8, name, err) : TERN_OK;
}

TernStatus tn_tiled_check(const TnType *t, const uint8_t *raw, const char *name, TernError *err) {
    size_t rows = (size_t)t->dim[0], k = (size_t)t->dim[1];
    if (t->enc == TN_ENC_tl1 || t->enc == TN_ENC_tl2) {
        TnTlTiles tiles = tiles_of(t);
        return tn_tl_check(t, &tiles, raw, name, err);
    }
    size_t head = t->enc == TN_ENC_iq2bn4 ? 16 : 0; /* scales of four rows */
    for (size_t r = 0; r < rows / 4; r++)
        for (size_t i = head; i < head + k; i++) {
            uint8_t b = raw[r * (head + k) + i];
            if (b & b >> 1 & 0x55)
                return tn_fail(err, TERN_ERR_INPUT,
                               "tensor %s: byte %zu is 0x%02x, which holds code 3; ternary codes are 0 to 2",
                               name, r * (head + k) + i, b);
        }
    return TERN_OK;
}
