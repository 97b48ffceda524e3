/* A second reader of .tern files, written from docs/blob.md alone: it shares no header and no code with the
 * runtime, only xxHash. Numbers are assembled byte by byte, so it reads the same on any machine.
 *
 *   const char *place = br_read(bytes, size, &br);
 *
 * NULL: all of the page's checks passed and *br holds the facts. Else the place that is wrong ("head",
 * "padding", "section PROG"); br.fault says what. */
#ifndef BLOB_READER_H
#define BLOB_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define BR_NONE 0xffffffffu
enum { BR_META = 1, BR_WGHT, BR_CHNK, BR_CODE, BR_PTXT, BR_PROG, BR_PLAN, BR_TIR, BR_WDIR, BR_KINDS };
enum { BR_VARIANTS_MAX = 128, BR_SYMBOLS = 8 };

typedef struct BrSection {
    uint32_t kind, flags, level, align;
    uint64_t offset, size;
    const uint8_t *hash, *bytes;
} BrSection;

typedef struct BrText {
    const char *s;
    uint32_t n;
} BrText;

typedef struct BrVariant {
    uint32_t level, kv, rows_lo, rows_hi, code, n_launches, n_operands, output[8];
    const uint8_t *launches, *operands; /* 64 and 24 bytes each */
    uint64_t arena_const, arena[8], scratch, scratch_page, key_page, value_page, weight_bytes;
    uint32_t n_barriers, topk, n_exports;
} BrVariant;

typedef struct Br {
    const uint8_t *bytes;
    uint64_t size;
    uint32_t n_sections, n_variants;
    BrSection sections[256];
    uint32_t n_vocab, n_context, n_layers, n_hidden, n_ffn, n_heads, n_kv_heads, head_dim;
    uint64_t n_params, source_hash;
    BrText arch, name, producer, desc, vocab;
    BrVariant variants[BR_VARIANTS_MAX];
    char place[40], fault[80];
} Br;

static inline uint32_t br_u32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline uint32_t br_u16(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}
static inline uint64_t br_u64(const uint8_t *p) {
    return br_u32(p) | (uint64_t)br_u32(p + 4) << 32;
}
static inline bool br_inside(uint64_t offset, uint64_t size, uint64_t room) {
    return offset <= room && size <= room - offset;
}
static inline bool br_hash_is(const uint8_t *bytes, uint64_t n, const uint8_t expected[16]) {
    XXH128_canonical_t c;
    XXH128_canonicalFromHash(&c, XXH3_128bits(bytes, (size_t)n));
    return memcmp(c.digest, expected, 16) == 0;
}

static inline const char *br_kind(uint32_t kind) {
    static const char *const names[] = {"META", "WGHT", "CHNK", "CODE", "PTXT",
                                        "PROG", "PLAN", "TIR",  "WDIR"};
    return kind >= 1 && kind < BR_KINDS ? names[kind - 1] : "of kind";
}

static inline const char *br_bad(Br *b, const char *place, const char *fault) {
    snprintf(b->place, sizeof b->place, "%s", place);
    snprintf(b->fault, sizeof b->fault, "%s", fault);
    return b->place;
}
static inline const char *br_bad_in(Br *b, uint32_t kind, const char *fault) {
    snprintf(b->place, sizeof b->place, "section %s", br_kind(kind));
    snprintf(b->fault, sizeof b->fault, "%s", fault);
    return b->place;
}
#define BR_TRY(call)                                                                                         \
    do {                                                                                                     \
        const char *br_place = (call);                                                                       \
        if (br_place) return br_place;                                                                       \
    } while (0)

static inline const BrSection *br_find(const Br *b, uint32_t kind, uint32_t index) {
    for (uint32_t i = 0; i < b->n_sections; i++)
        if (b->sections[i].kind == kind && index-- == 0) return &b->sections[i];
    return NULL;
}
static inline uint32_t br_count(const Br *b, uint32_t kind) {
    uint32_t n = 0;
    while (br_find(b, kind, n)) n++;
    return n;
}

/* ---- 1 and 2: head and table */

static inline const char *br_head(Br *b) {
    static const uint8_t magic[8] = {0x89, 0x54, 0x45, 0x52, 0x4e, 0x0d, 0x0a, 0x1a};
    const uint8_t *h = b->bytes;
    if (b->size < 64) return br_bad(b, "head", "short");
    if (memcmp(h, magic, 8) != 0) return br_bad(b, "head", "magic");
    if (br_u32(h + 8) != 4 || br_u32(h + 36) != 10) return br_bad(b, "head", "version or abi");
    if (br_u32(h + 12) != 64) return br_bad(b, "head", "head_bytes");
    if (br_u32(h + 16) != 0x01020304 || br_u32(h + 20) != 0xbfc00000) return br_bad(b, "head", "probes");
    if (br_u64(h + 24) != b->size) return br_bad(b, "head", "file_bytes");
    b->n_sections = br_u32(h + 32);
    if (b->n_sections < 1 || b->n_sections > 256) return br_bad(b, "head", "n_sections");
    if (br_u64(h + 56) != 0) return br_bad(b, "head", "reserved");
    uint64_t table = 64 * (uint64_t)b->n_sections;
    if (!br_inside(64, table, b->size)) return br_bad(b, "head", "table");
    uint8_t copy[64 + 64 * 256];
    memcpy(copy, h, (size_t)(64 + table));
    memset(copy + 40, 0, 16);
    if (!br_hash_is(copy, 64 + table, h + 40)) return br_bad(b, "head", "hash");
    return NULL;
}

/* ---- 3: the table's entries, and the padding */

static inline const char *br_zero(Br *b, uint64_t from, uint64_t to) {
    for (; from < to; from++)
        if (b->bytes[from]) return br_bad(b, "padding", "not zero");
    return NULL;
}

static inline const char *br_entries(Br *b) {
    uint64_t end = 64 + 64 * (uint64_t)b->n_sections;
    for (uint32_t i = 0; i < b->n_sections; i++) {
        const uint8_t *e = b->bytes + 64 + 64 * (size_t)i;
        BrSection *s = &b->sections[i];
        *s = (BrSection){.kind = br_u32(e),
                         .flags = br_u32(e + 4),
                         .level = br_u32(e + 8),
                         .align = br_u32(e + 12),
                         .offset = br_u64(e + 16),
                         .size = br_u64(e + 24),
                         .hash = e + 32};
        if (s->flags > 1) return br_bad_in(b, s->kind, "flags");
        if ((s->kind < 1 || s->kind >= BR_KINDS) && s->flags)
            return br_bad_in(b, s->kind, "unknown, required");
        if (!s->align || s->align & (s->align - 1) || s->align > 1u << 30)
            return br_bad_in(b, s->kind, "align");
        if (s->offset % s->align || s->offset < end || !br_inside(s->offset, s->size, b->size))
            return br_bad_in(b, s->kind, "offset");
        if (br_u64(e + 48) || br_u64(e + 56)) return br_bad_in(b, s->kind, "reserved");
        BR_TRY(br_zero(b, end, s->offset));
        s->bytes = b->bytes + s->offset;
        end = s->offset + s->size;
    }
    return br_zero(b, end, b->size);
}

/* ---- 4, 5 and 7: counts and hashes */

static inline uint64_t br_chunks(const Br *b) {
    return (br_find(b, BR_WGHT, 0)->size + 4194303) / 4194304;
}

static inline const char *br_counts(Br *b) {
    static const uint8_t least[BR_KINDS] = {[BR_META] = 1, [BR_WGHT] = 1, [BR_CHNK] = 1, [BR_PROG] = 1};
    static const uint32_t once = 1u << BR_META | 1u << BR_WGHT | 1u << BR_CHNK | 1u << BR_TIR | 1u << BR_WDIR;
    for (uint32_t k = 1; k < BR_KINDS; k++) {
        uint32_t n = br_count(b, k);
        if (n < least[k] || (n > 1 && once >> k & 1)) return br_bad_in(b, k, "count");
    }
    if (br_count(b, BR_PLAN) != br_count(b, BR_PROG)) return br_bad_in(b, BR_PLAN, "count");
    if (br_find(b, BR_CHNK, 0)->size != 16 * br_chunks(b)) return br_bad_in(b, BR_CHNK, "size");
    return NULL;
}

static inline const char *br_hashes(Br *b) {
    const BrSection *chnk = br_find(b, BR_CHNK, 0);
    for (uint32_t i = 0; i < b->n_sections; i++) {
        const BrSection *s = &b->sections[i], *of = s->kind == BR_WGHT ? chnk : s;
        if (!br_hash_is(of->bytes, of->size, s->hash)) return br_bad_in(b, s->kind, "hash");
    }
    return NULL;
}

static inline const char *br_weights(Br *b) {
    const BrSection *w = br_find(b, BR_WGHT, 0), *chnk = br_find(b, BR_CHNK, 0);
    for (uint64_t i = 0; i < br_chunks(b); i++) {
        uint64_t at = i * 4194304, left = w->size - at;
        if (!br_hash_is(w->bytes + at, left < 4194304 ? left : 4194304, chnk->bytes + 16 * i))
            return br_bad_in(b, BR_WGHT, "hash of a chunk");
    }
    return NULL;
}

/* ---- 6: the contents */

static inline bool br_range(const BrSection *s, const uint8_t *p, BrText *out) {
    uint32_t offset = br_u32(p), n = br_u32(p + 4);
    if (!br_inside(offset, n, s->size)) return false;
    *out = (BrText){(const char *)s->bytes + offset, n};
    return true;
}

static inline const char *br_meta(Br *b) {
    const BrSection *s = br_find(b, BR_META, 0);
    const uint8_t *p = s->bytes;
    if (s->size < 96) return br_bad_in(b, BR_META, "short");
    const struct {
        uint32_t *out, most;
    } numbers[8] = {{&b->n_vocab, 1u << 30},
                    {&b->n_context, 1u << 24},
                    {&b->n_layers, 1u << 16},
                    {&b->n_hidden, 1u << 24},
                    {&b->n_ffn, 0},
                    {&b->n_heads, 1u << 16},
                    {&b->n_kv_heads, 1u << 16},
                    {&b->head_dim, 1u << 16}};
    for (int i = 0; i < 8; i++) {
        uint32_t v = *numbers[i].out = br_u32(p + 4 * i);
        if (numbers[i].most && (v < 1 || v > numbers[i].most)) return br_bad_in(b, BR_META, "a number");
    }
    b->n_params = br_u64(p + 32);
    b->source_hash = br_u64(p + 40);
    if (!br_range(s, p + 48, &b->arch) || !br_range(s, p + 56, &b->name) ||
        !br_range(s, p + 64, &b->producer) || !br_range(s, p + 72, &b->desc) ||
        !br_range(s, p + 80, &b->vocab))
        return br_bad_in(b, BR_META, "a string");
    if (b->vocab.n && br_u32(p + 80) % 64) return br_bad_in(b, BR_META, "vocab");
    if (br_u32(p + 88) > 4 || br_u32(p + 92)) return br_bad_in(b, BR_META, "pooling");
    return NULL;
}

/* The image of a PTXT is a text: one 0, at its end, and entries at lines that have their names. */
static inline bool br_is_entry(const char *text, uint64_t at, BrText name) {
    static const char before[] = ".visible .entry ";
    size_t n = sizeof before - 1;
    return strncmp(text + at, before, n) == 0 && strncmp(text + at + n, name.s, name.n) == 0 &&
           text[at + n + name.n] == '(';
}

static inline const char *br_code(Br *b, const BrSection *s, uint32_t *out_exports) {
    if (s->size < 24) return br_bad_in(b, BR_CODE, "short");
    uint32_t n = br_u32(s->bytes);
    uint64_t image = br_u64(s->bytes + 8), size = br_u64(s->bytes + 16);
    if (!br_inside(24, 16 * (uint64_t)n, s->size)) return br_bad_in(b, BR_CODE, "exports");
    if (image % 64 || !br_inside(image, size, s->size)) return br_bad_in(b, BR_CODE, "image");
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *e = s->bytes + 24 + 16 * (size_t)i;
        BrText name;
        if (br_u64(e) >= size || !br_range(s, e + 8, &name)) return br_bad_in(b, BR_CODE, "an export");
        const char *text = (const char *)s->bytes + image;
        if (s->kind != BR_PTXT) continue;
        if (memchr(text, 0, size) != text + size - 1) return br_bad_in(b, BR_PTXT, "a text");
        if (!br_is_entry(text, br_u64(e), name)) return br_bad_in(b, BR_PTXT, "an export");
    }
    *out_exports = n;
    return NULL;
}

static inline const char *br_plan(Br *b, uint32_t i) {
    BrVariant *v = &b->variants[i];
    const BrSection *s = br_find(b, BR_PLAN, i);
    const uint64_t most = 1ull << 40;
    if (s->size < 120) return br_bad_in(b, BR_PLAN, "short");
    const uint8_t *p = s->bytes;
    v->arena_const = br_u64(p);
    for (int k = 0; k < 8; k++) v->arena[k] = br_u64(p + 8 + 8 * k);
    v->scratch = br_u64(p + 72);
    v->scratch_page = br_u64(p + 80);
    v->key_page = br_u64(p + 88);
    v->value_page = br_u64(p + 96);
    v->weight_bytes = br_u64(p + 104);
    v->n_barriers = br_u32(p + 112);
    v->topk = br_u32(p + 116);
    for (int k = 0; k < 8; k++)
        if (v->arena[k] > most) return br_bad_in(b, BR_PLAN, "arena");
    if (v->arena_const > most || v->scratch > most || v->scratch_page > most)
        return br_bad_in(b, BR_PLAN, "arena or scratch");
    static const uint8_t bytes[4][2] = {{0, 0}, {2, 0}, {4, 0}, {1, 4}}; /* by kv: an element's, a scale's */
    uint64_t page =
        (uint64_t)b->n_kv_heads * 64 * (b->head_dim * (uint64_t)bytes[v->kv][0] + bytes[v->kv][1]);
    if (v->key_page != page || v->value_page != page) return br_bad_in(b, BR_PLAN, "pages");
    if (v->weight_bytes > br_find(b, BR_WGHT, 0)->size) return br_bad_in(b, BR_PLAN, "weight_bytes");
    if (v->topk > 65536) return br_bad_in(b, BR_PLAN, "topk");
    if (s->level != v->level) return br_bad_in(b, BR_PLAN, "level");
    return NULL;
}

static inline bool br_operand_ok(const Br *b, const BrVariant *v, const uint8_t *o) {
    uint32_t space = br_u32(o), index = br_u32(o + 4);
    uint64_t offset = br_u64(o + 8), row = br_u64(o + 16);
    if (offset % 64) return false;
    switch (space) {
    case 0:
        if (index != BR_NONE && index >= BR_SYMBOLS) return false;
        return br_inside(offset, row, index == BR_NONE ? v->arena_const : v->arena[index]);
    case 1:
        return br_inside(offset, row, br_find(b, BR_WGHT, 0)->size);
    case 2:
        return index < 7 && offset == 0;
    case 3:
    case 4:
        return index < b->n_layers && offset == 0;
    default:
        return false;
    }
}

static inline bool br_symbol_ok(uint32_t s) {
    return s == BR_NONE || s < BR_SYMBOLS;
}

static inline bool br_launch_ok(const BrVariant *v, const BrSection *s, const uint8_t *l) {
    uint32_t first = br_u32(l + 4), n = br_u32(l + 8), reads = br_u32(l + 12);
    uint64_t units = br_u64(l + 24);
    BrText name;
    if (br_u32(l) >= (v->level == 0 ? 1 : v->n_exports)) return false;
    if (!br_inside(first, n, v->n_operands) || reads > n) return false;
    if (!br_symbol_ok(br_u32(l + 16)) || !br_symbol_ok(br_u32(l + 20))) return false;
    if (units < 1 || units > 1ull << 31) return false;
    if (br_u64(l + 32) > v->scratch || br_u64(l + 40) > v->scratch_page) return false;
    if (l[48] > 3 || (l[48] > 1 && br_u64(l + 32) < 1 << 15) || (l[49] && br_u32(l + 16) == BR_NONE))
        return false;
    if (br_u16(l + 50) > 1024 || br_u32(l + 52) > 1u << 18) return false;
    for (uint32_t i = first + reads; i < first + n; i++)
        if (br_u32(v->operands + 24 * (size_t)i) != 0) return false;
    return br_range(s, l + 56, &name);
}

static inline bool br_output_ok(const Br *b, const BrVariant *v, uint32_t i) {
    static const uint32_t symbol[5] = {1, 2, 2, 1, 3};
    const uint64_t columns[5] = {1, v->topk, v->topk, b->n_vocab, b->n_hidden};
    if (v->output[i] == BR_NONE) return i != 0;
    if (i >= 5 || v->output[i] >= v->n_operands) return false;
    const uint8_t *o = v->operands + 24 * (size_t)v->output[i];
    uint64_t row = br_u64(o + 16);
    bool led = br_u32(o + 4) == symbol[i] || (i == 3 && br_u32(o + 4) == 7);
    return br_u32(o) == 0 && led && row % 4 == 0 && row >= 4 * columns[i] && (i || row == 4);
}

static inline const char *br_prog(Br *b, uint32_t i) {
    BrVariant *v = &b->variants[i];
    const BrSection *s = br_find(b, BR_PROG, i);
    const uint8_t *p = s->bytes;
    if (s->size < 64) return br_bad_in(b, BR_PROG, "short");
    *v = (BrVariant){.level = br_u32(p),
                     .kv = br_u32(p + 4),
                     .rows_lo = br_u32(p + 8),
                     .rows_hi = br_u32(p + 12),
                     .code = br_u32(p + 16),
                     .n_launches = br_u32(p + 20),
                     .n_operands = br_u32(p + 24)};
    for (int k = 0; k < 8; k++) v->output[k] = br_u32(p + 32 + 4 * k);
    if (v->level != s->level) return br_bad_in(b, BR_PROG, "level");
    if (v->kv < 1 || v->kv > 3) return br_bad_in(b, BR_PROG, "kv");
    if (v->rows_lo < 1 || v->rows_lo > v->rows_hi || v->rows_hi > 1u << 16)
        return br_bad_in(b, BR_PROG, "rows");
    uint32_t next = 1;
    for (uint32_t k = 0; k < i; k++)
        if (b->variants[k].level == v->level && b->variants[k].kv == v->kv) next = b->variants[k].rows_hi + 1;
    if (v->rows_lo != next) return br_bad_in(b, BR_PROG, "rows: a gap");
    uint64_t launches = 64 * (uint64_t)v->n_launches;
    if (!br_inside(64, launches, s->size) || !br_inside(64 + launches, 24 * (uint64_t)v->n_operands, s->size))
        return br_bad_in(b, BR_PROG, "short");
    v->launches = p + 64;
    v->operands = p + 64 + launches;
    if (v->level == 0) {
        if (v->code != BR_NONE) return br_bad_in(b, BR_PROG, "code");
    } else {
        const BrSection *c = v->code < b->n_sections ? &b->sections[v->code] : NULL;
        uint32_t kind = v->level >= 32 ? BR_PTXT : BR_CODE;
        if (!c || c->kind != kind || c->level != v->level) return br_bad_in(b, BR_PROG, "code");
        BR_TRY(br_code(b, c, &v->n_exports));
    }
    BR_TRY(br_plan(b, i));
    for (uint32_t k = 0; k < v->n_operands; k++)
        if (!br_operand_ok(b, v, v->operands + 24 * (size_t)k)) return br_bad_in(b, BR_PROG, "an operand");
    for (uint32_t k = 0; k < v->n_launches; k++)
        if (!br_launch_ok(v, s, v->launches + 64 * (size_t)k)) return br_bad_in(b, BR_PROG, "a launch");
    for (uint32_t k = 0; k < 8; k++)
        if (!br_output_ok(b, v, k)) return br_bad_in(b, BR_PROG, "an output");
    return NULL;
}

static inline const char *br_read(const void *bytes, size_t size, Br *b) {
    memset(b, 0, sizeof *b);
    b->bytes = bytes;
    b->size = size;
    BR_TRY(br_head(b));
    BR_TRY(br_entries(b));
    BR_TRY(br_counts(b));
    BR_TRY(br_hashes(b));
    BR_TRY(br_meta(b));
    b->n_variants = br_count(b, BR_PROG);
    if (b->n_variants > BR_VARIANTS_MAX) return br_bad_in(b, BR_PROG, "more than this reader has room for");
    for (uint32_t i = 0; i < b->n_variants; i++) BR_TRY(br_prog(b, i));
    return br_weights(b);
}

#endif
