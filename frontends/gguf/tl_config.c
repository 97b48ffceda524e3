/* The tiles of TL1 and TL2, as the program that wrote a file was made for.
 *
 * bitnet.cpp generates its lookup kernels for a list of shapes, and leaves the list in include/kernel_config.ini. A file has
 * tensors in those tiles and does not say so. Without that list Tern takes the tiles of bitnet.cpp's own table, or guesses
 * (ir/stored_tiles.h). With it, the tensors are put into I2_S in memory, with the same weights and scales:
 *
 *   [Kernels_0]
 *   m = 3200      rows
 *   k = 8640      columns
 *   bm = 160      rows of a tile
 *   bk = 64       columns of a tile
 *   bmm = 32      TL1: rows of a block
 */
#include <stdlib.h>
#include <string.h>
#include "frontends/gguf/gguf.h"
#include "ir/stored_tiles.h"

enum { M, K, BM, BK, BMM, NUMBERS, SECTIONS_MOST = 256, NUMBER_MOST = 1 << 24 };
static const char *const names[NUMBERS] = {"m", "k", "bm", "bk", "bmm"};

typedef struct Span {
    const char *p;
    size_t n;
} Span;

typedef struct Section {
    int64_t v[NUMBERS]; /* 0: not given */
    uint32_t line;
} Section;

typedef struct Ini {
    const char *path;
    Section *v;
    size_t n, cap;
    TernError *err;
} Ini;

static bool blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

/* The part of [p, end) without blanks around it. */
static Span trimmed(const char *p, const char *end) {
    while (p < end && blank(*p)) p++;
    while (p < end && blank(end[-1])) end--;
    return (Span){p, (size_t)(end - p)};
}

static bool whole_number(Span t, int64_t *out) {
    *out = 0;
    for (size_t i = 0; i < t.n; i++) {
        if (t.p[i] < '0' || t.p[i] > '9' || *out > NUMBER_MOST) return false;
        *out = 10 * *out + t.p[i] - '0';
    }
    return t.n > 0 && *out > 0 && *out <= NUMBER_MOST;
}

static TernStatus take_line(Ini *ini, const char *p, const char *end, uint32_t line) {
    Span all = trimmed(p, end);
    if (all.n == 0 || *all.p == '#' || *all.p == ';') return TERN_OK;
    if (*all.p == '[') {
        if (ini->n == SECTIONS_MOST)
            return tn_fail(ini->err, TERN_ERR_INPUT, "%s:%u: more than %d sections", ini->path, line,
                           SECTIONS_MOST);
        TN_PUSH(ini->v, ini->n, ini->cap, ((Section){.line = line}));
        return TERN_OK;
    }
    const char *sign = memchr(all.p, '=', all.n);
    int64_t v = 0;
    if (!sign || ini->n == 0)
        return tn_fail(ini->err, TERN_ERR_INPUT,
                       "%s:%u: '%.*s', expected [a section] or, in one, name = number", ini->path, line,
                       (int)(all.n < 40 ? all.n : 40), all.p);
    Span name = trimmed(all.p, sign), value = trimmed(sign + 1, all.p + all.n);
    for (size_t i = 0; i < NUMBERS; i++) {
        if (strlen(names[i]) != name.n || memcmp(names[i], name.p, name.n) != 0) continue;
        if (!whole_number(value, &v))
            return tn_fail(ini->err, TERN_ERR_INPUT,
                           "%s:%u: %s is '%.*s', expected a whole number from 1 to %d", ini->path, line,
                           names[i], (int)(value.n < 40 ? value.n : 40), value.p, NUMBER_MOST);
        ini->v[ini->n - 1].v[i] = v;
    }
    return TERN_OK; /* other names have no effect on tiles */
}

static TernStatus read_ini(Ini *ini, const char *text, size_t n) {
    uint32_t line = 1;
    for (const char *p = text, *end = text + n; p < end; line++) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        TN_TRY(take_line(ini, p, stop ? stop : end, line));
        p = stop ? stop + 1 : end;
    }
    if (ini->n == 0)
        return tn_fail(ini->err, TERN_ERR_INPUT, "%s: no sections, expected those of a kernel_config.ini",
                       ini->path);
    for (size_t i = 0; i < ini->n; i++)
        for (size_t k = 0; k < BMM; k++)
            if (ini->v[i].v[k] == 0)
                return tn_fail(ini->err, TERN_ERR_INPUT, "%s:%u: the section has no %s", ini->path,
                               ini->v[i].line, names[k]);
    return TERN_OK;
}

/* The tiles that the list has for a tensor. */
static TernStatus find(const Ini *ini, const TnGguf *g, const TnGgufTensor *t, TnTlTiles *out) {
    int64_t rows = (int64_t)t->ne[1], cols = (int64_t)t->ne[0];
    for (size_t i = 0; i < ini->n; i++) {
        const int64_t *v = ini->v[i].v;
        if (v[M] != rows || v[K] != cols) continue;
        *out = (TnTlTiles){v[BM], v[BK], t->enc == TN_ENC_tl1 && v[BMM] ? v[BMM] : 32, true};
        bool fits = out->block_rows <= 64 && out->block_rows % 16 == 0 && 256 % out->block_rows == 0 &&
                    (t->enc == TN_ENC_tl1 || v[BK] % 24 == 0) && tn_tl_divides(t->enc, out, rows, cols);
        if (fits) return TERN_OK;
        return tn_fail(ini->err, TERN_ERR_INPUT,
                       "%s:%u: tiles of %lld x %lld, blocks of %lld rows, do not divide tensor %s", ini->path,
                       ini->v[i].line, (long long)v[BM], (long long)v[BK], (long long)out->block_rows,
                       t->name);
    }
    return tn_fail(ini->err, TERN_ERR_INPUT,
                   "%s has no section for %lld rows of %lld columns, which tensor %s of %s has", ini->path,
                   (long long)rows, (long long)cols, t->name, g->path);
}

/* Codes of I2_S: 128 weights in 32 bytes, the first quarter in the highest bits. */
static void put_codes(uint8_t *out, size_t at, const int8_t *w, size_t n) {
    for (size_t i = 0; i < n; i++) {
        size_t in = (at + i) % 128;
        out[(at + i) / 128 * 32 + in % 32] |= (uint8_t)((w[i] + 1) << (6 - 2 * (in / 32)));
    }
}

static TernStatus to_i2s(TnGguf *g, TnGgufTensor *t, const TnTlTiles *tiles, TernError *err) {
    size_t rows = t->ne[1], cols = t->ne[0], bytes = rows * cols / 4;
    TnType type = tn_type(t->enc, 2, (TnDim)rows, (TnDim)cols);
    TN_TRY(tn_tl_check(&type, tiles, t->data, t->name, err));
    uint8_t *out = tn_alloc_array(&g->arena, bytes + 32, 1);
    int8_t *row = tn_xcalloc(cols, 1);
    memset(out, 0, bytes + 32);
    for (size_t r = 0; r < rows; r++) {
        tn_tl_trits(&type, tiles, t->data, (int64_t)r, row);
        put_codes(out, r * cols, row, cols);
    }
    free(row);
    memcpy(out + bytes, t->data + t->bytes - 32, 4); /* the scale, before 28 bytes of anything */
    t->type = 36, t->enc = TN_ENC_i2s, t->type_name = "I2_S", t->type_maker = NULL;
    t->data = out, t->bytes = bytes + 32;
    return TERN_OK;
}

TernStatus tn_gguf_tl_config(TnGguf *g, const char *path, TernError *err) {
    enum { TEXT_MOST = 1 << 20 };
    Ini ini = {.path = path, .err = err};
    char *text;
    size_t n, found = 0;
    TN_TRY(tn_file_read(path, TEXT_MOST, &text, &n, err));
    TernStatus st = read_ini(&ini, text, n);
    for (size_t i = 0; i < g->n_tensors && st == TERN_OK; i++) {
        TnGgufTensor *t = &g->tensors[i];
        TnTlTiles tiles;
        if (t->enc != TN_ENC_tl1 && t->enc != TN_ENC_tl2) continue;
        st = find(&ini, g, t, &tiles);
        if (st == TERN_OK) st = to_i2s(g, t, &tiles, err);
        found++;
    }
    if (st == TERN_OK && !found)
        st = tn_fail(err, TERN_ERR_INPUT, "%s: no tensor is TL1 or TL2: TerncConvert.tl_config has no effect",
                     g->path);
    free(ini.v);
    free(text);
    return st;
}
