/* What the number of a tensor's type means.
 *
 * Forks of ggml gave the same numbers to different types: 39 is TL2 in bitnet.cpp and MXFP4 in llama.cpp, 42 has five
 * readings. Nothing in the file names the fork, but the readings differ in bytes a weight, and a writer leaves no room
 * between tensors beyond the alignment. So the offsets are replayed: a reading fits if every tensor of that number, at
 * that reading's size, ends less than one alignment before the next tensor (or the end of the file). One that fits alone
 * is the type; where several fit, general.file_type may choose; else the file is refused, for a guess would be read as
 * nonsense. Numbers with a single reading need no such proof.
 *
 * A reading may be known and yet not read: then the refusal says what the file is. */
#include <stdlib.h>
#include <string.h>
#include "frontends/gguf/gguf.h"
#include "runtime/base/reader.h"

/* Bytes of a tensor where blocks do not say it. */
typedef enum Form {
    BLOCKS,   /* `elems` weights of a row in `bytes` bytes */
    STORED,   /* as the encoding has it: tn_raw_bytes */
    CODES,    /* four weights a byte, and `bytes` more */
    FIVES,    /* five weights a byte, in rows the rest of 20 four a byte, no scale */
    ROWS_IQ1, /* 13 bytes for 64 weights and 2 a row */
    ROWS_IQ2, /* a byte for 4 weights and 4 a row */
    BYTES     /* a byte a weight, perhaps `bytes` more */
} Form;

typedef struct Reading {
    uint32_t id;
    int enc;           /* -1: known by name, not read */
    const char *name;  /* as its makers call it */
    const char *whose; /* NULL: everybody's */
    Form form;
    uint32_t elems, bytes;
    uint32_t file_type; /* general.file_type of files made of it; 0: none */
} Reading;

static const char mainline[] = "llama.cpp", microsoft[] = "bitnet.cpp", ik[] = "ik_llama.cpp",
                  vlut[] = "vlut.cpp", prism[] = "PrismML's llama.cpp", tencent[] = "Tencent's AngelSlim";

#define FLOATS(id, enc, name, elems, bytes)                                                                  \
    { id, enc, name, NULL, BLOCKS, elems, bytes, 0 }
static const Reading readings[] = {
    FLOATS(0, TN_ENC_f32, "F32", 1, 4),
    FLOATS(1, TN_ENC_f16, "F16", 1, 2),
    FLOATS(30, TN_ENC_bf16, "BF16", 1, 2),
    FLOATS(2, TN_ENC_q4_0, "Q4_0", 32, 18),
    FLOATS(3, TN_ENC_q4_1, "Q4_1", 32, 20),
    FLOATS(6, TN_ENC_q5_0, "Q5_0", 32, 22),
    FLOATS(7, TN_ENC_q5_1, "Q5_1", 32, 24),
    FLOATS(8, TN_ENC_q8_0, "Q8_0", 32, 34),
    FLOATS(12, TN_ENC_q4_k, "Q4_K", 256, 144),
    FLOATS(13, TN_ENC_q5_k, "Q5_K", 256, 176),
    FLOATS(14, TN_ENC_q6_k, "Q6_K", 256, 210),
    {39, TN_ENC_mxfp4, "MXFP4", mainline, BLOCKS, 32, 17, 38},
    {37, TN_ENC_i8s, "I8_S", microsoft, STORED, 0, 0, 0},
    {36, TN_ENC_i2s, "I2_S", NULL, STORED, 0, 0, 40},
    FLOATS(34, TN_ENC_tq1, "TQ1_0", 256, 54),
    FLOATS(35, TN_ENC_tq2, "TQ2_0", 256, 66),
    {38, TN_ENC_tl1, "TL1", microsoft, STORED, 0, 0, 38},
    {39, TN_ENC_tl2, "TL2", microsoft, STORED, 0, 0, 39},
    {134, TN_ENC_iq1bn, "IQ1_BN", ik, STORED, 64, 0, 136},
    {135, TN_ENC_iq2bn, "IQ2_BN", ik, STORED, 64, 0, 137},
    {335, TN_ENC_iq2bn4, "IQ2_BN_R4", ik, STORED, 64, 0, 337},
    {42, TN_ENC_q2g64, "Q2_0", mainline, BLOCKS, 64, 18, 41},
    {42, TN_ENC_q2g128, "Q2_0 in blocks of 128", prism, BLOCKS, 128, 34, 41},
    {142, TN_ENC_q2g128, "PQ2_0", prism, BLOCKS, 128, 34, 141},
    {143, TN_ENC_ptq1, "PTQ1_0", prism, BLOCKS, 128, 28, 143},
    /* not read */
    FLOATS(9, -1, "Q8_1", 32, 36),
    FLOATS(10, -1, "Q2_K", 256, 84),
    FLOATS(11, -1, "Q3_K", 256, 110),
    FLOATS(15, -1, "Q8_K", 256, 292),
    FLOATS(16, -1, "IQ2_XXS", 256, 66),
    FLOATS(17, -1, "IQ2_XS", 256, 74),
    FLOATS(18, -1, "IQ3_XXS", 256, 98),
    FLOATS(19, -1, "IQ1_S", 256, 50),
    FLOATS(20, -1, "IQ4_NL", 32, 18),
    FLOATS(21, -1, "IQ3_S", 256, 110),
    FLOATS(22, -1, "IQ2_S", 256, 82),
    FLOATS(23, -1, "IQ4_XS", 256, 136),
    FLOATS(24, -1, "I8", 1, 1),
    FLOATS(25, -1, "I16", 1, 2),
    FLOATS(26, -1, "I32", 1, 4),
    FLOATS(27, -1, "I64", 1, 8),
    FLOATS(28, -1, "F64", 1, 8),
    FLOATS(29, -1, "IQ1_M", 256, 56),
    FLOATS(31, -1, "Q4_0_4_4", 32, 18),
    FLOATS(32, -1, "Q4_0_4_8", 32, 18),
    FLOATS(33, -1, "Q4_0_8_8", 32, 18),
    {39, -1, "I8_V", vlut, BYTES, 1, 0, 0},
    {40, -1, "NVFP4", mainline, BLOCKS, 64, 36, 0},
    {40, -1, "I2_V", vlut, CODES, 4, 0, 0},
    {40, -1, "Q1_0 in blocks of 32", prism, BLOCKS, 32, 6, 0},
    {41, -1, "Q1_0", mainline, BLOCKS, 128, 18, 0},
    {41, -1, "I2_V_2", vlut, CODES, 4, 0, 0},
    {42, -1, "STQ1_0", tencent, BLOCKS, 256, 42, 0},
    {42, -1, "I2_V_4", vlut, CODES, 4, 0, 0},
    {43, -1, "STQ1_0", tencent, BLOCKS, 256, 42, 0},
    {43, -1, "I2_V_8", vlut, CODES, 4, 0, 0},
    {44, -1, "I2_V_16", vlut, CODES, 4, 0, 0},
    {45, -1, "I1_V", vlut, FIVES, 4, 0, 0},
    {46, -1, "I1_V_2", vlut, FIVES, 4, 0, 0},
    {47, -1, "I1_V_4", vlut, FIVES, 4, 0, 0},
    {142, -1, "IQ2_TN", ik, ROWS_IQ2, 256, 0, 0},
    {143, -1, "IQ1_TN", ik, ROWS_IQ1, 256, 0, 0},
};

/* ---- One reading of one tensor */

/* Bytes of n weights in rows of `cols`; 0 if they do not divide into blocks. */
static size_t bytes_of(const Reading *r, size_t cols, size_t n) {
    size_t rows = n / cols;
    if (r->elems && cols % r->elems) return 0;
    switch (r->form) {
    case BLOCKS:
        TN_CHECK(r->elems > 0);
        return n / r->elems * r->bytes;
    case STORED: {
        TnType t = tn_type((TnEnc)r->enc, 2, (TnDim)rows, (TnDim)cols);
        return tn_stored_needs(t.enc, t.dim[0], t.dim[1]) ? 0 : tn_raw_bytes(&t);
    }
    case CODES:
        return n / 4 + r->bytes;
    case FIVES:
        return rows * (cols / 20 * 4 + cols % 20 / 4);
    case ROWS_IQ1:
        return rows * (2 + cols / 64 * 13);
    case ROWS_IQ2:
        return rows * (4 + cols / 4);
    case BYTES:
        return n + r->bytes;
    }
    TN_BUG("form %d of a tensor", (int)r->form);
}

/* Of a tensor whose sizes were checked. */
static size_t weights_of(const TnGgufTensor *t) {
    return t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
}

/* "Q2_0 of llama.cpp" */
static const char *full_name(TnGguf *g, const Reading *r) {
    return r->whose ? tn_sprintf(&g->arena, "%s of %s", r->name, r->whose) : r->name;
}

/* ---- The readings of one number */

typedef struct Replay {
    TnGguf *g;
    size_t data, align;
    TnGgufTensor **order; /* by offset */
    TernError *err;
} Replay;

/* From where tensor i of `order` begins to the next one, or to the end of the file. */
static size_t room(const Replay *p, size_t i) {
    size_t end = p->g->file.size - p->data, at = p->order[i]->offset;
    if (i + 1 < p->g->n_tensors) end = p->order[i + 1]->offset;
    return end > at ? end - at : 0;
}

/* Whether the room of tensor i is that of a reading. whole: the file is not cut short, so its last tensor is all there. */
static bool suits(const Replay *p, const Reading *r, size_t i, bool whole) {
    const TnGgufTensor *t = p->order[i];
    size_t bytes = bytes_of(r, t->ne[0], weights_of(t)), have = room(p, i);
    bool last = i + 1 == p->g->n_tensors;
    return bytes && have < bytes + p->align && (have >= bytes || (!whole && last));
}

/* Whether the rooms of all tensors of its number are. */
static bool fits(const Replay *p, const Reading *r, bool whole) {
    for (size_t i = 0; i < p->g->n_tensors; i++)
        if (p->order[i]->type == r->id && !suits(p, r, i, whole)) return false;
    return true;
}

/* The first tensor of the number that suits no reading; `at` if each suits one. */
static size_t odd_one(const Replay *p, uint32_t id, size_t at) {
    for (size_t i = at; i < p->g->n_tensors; i++) {
        bool any = p->order[i]->type != id;
        for (size_t j = 0; j < TN_COUNT(readings) && !any; j++)
            any = readings[j].id == id && suits(p, &readings[j], i, false);
        if (!any) return i;
    }
    return at;
}

static size_t count_readings(uint32_t id) {
    size_t n = 0;
    for (size_t i = 0; i < TN_COUNT(readings); i++) n += readings[i].id == id;
    return n;
}

/* The reading that fits; NULL, and how many do, if that is not one. */
static const Reading *only_fit(const Replay *p, uint32_t id, bool whole, size_t *out_n) {
    const Reading *found = NULL, *typed = NULL;
    uint64_t file_type = 0;
    TernError ignored;
    (void)tn_gguf_uint(p->g, "general.file_type", false, 0, UINT32_MAX, &file_type, &ignored);
    size_t n = 0, n_typed = 0;
    for (size_t i = 0; i < TN_COUNT(readings); i++) {
        const Reading *r = &readings[i];
        if (r->id != id || !fits(p, r, whole)) continue;
        found = r, n++;
        if (r->file_type && r->file_type == file_type) typed = r, n_typed++;
    }
    *out_n = n;
    return n == 1 ? found : n_typed == 1 ? typed : NULL;
}

/* The readings of a tensor's number, those that fit or all, with the bytes each needs for the tensor. */
static void list_readings(const Replay *p, const TnGgufTensor *t, bool all, TnBuf *out) {
    for (size_t i = 0; i < TN_COUNT(readings); i++) {
        const Reading *r = &readings[i];
        if (r->id != t->type || (!all && !fits(p, r, false))) continue;
        size_t bytes = bytes_of(r, t->ne[0], weights_of(t));
        if (bytes) tn_buf_printf(out, "%s%zu for %s", out->len ? ", " : "", bytes, full_name(p->g, r));
    }
    if (!out->len) tn_buf_puts(out, "rows that divide into blocks");
}

static TernStatus undecided(const Replay *p, size_t at, size_t n_fit) {
    if (!n_fit) at = odd_one(p, p->order[at]->type, at);
    const TnGgufTensor *t = p->order[at];
    TnBuf list = {0};
    list_readings(p, t, !n_fit, &list);
    TernStatus st =
        tn_fail(p->err, n_fit ? TERN_ERR_UNSUPPORTED : TERN_ERR_INPUT,
                "%s: tensor %s has type %u: got %zu bytes up to the next tensor, %s %s", p->g->path, t->name,
                t->type, room(p, at), n_fit ? "which suit more than one type:" : "expected", list.data);
    tn_buf_free(&list);
    return st;
}

static TernStatus refuse(const Replay *p, const TnGgufTensor *t, const Reading *r) {
    TnBuf list = {0};
    for (size_t i = 0; i < TN_COUNT(readings); i++)
        if (readings[i].enc >= 0 && (i == 0 || readings[i - 1].id != readings[i].id))
            tn_buf_printf(&list, "%s%s", list.len ? ", " : "", readings[i].name);
    TernStatus st =
        tn_fail(p->err, TERN_ERR_UNSUPPORTED, "%s: tensor %s has type %u (%s), expected one of %s",
                p->g->path, t->name, t->type, full_name(p->g, r), list.data);
    tn_buf_free(&list);
    return st;
}

static void note(TnGguf *g, const Reading *r, size_t n_fit) {
    TnGgufSettled *s = &g->settled[g->n_settled++];
    *s = (TnGgufSettled){.type = r->id, .name = full_name(g, r)};
    s->rule = n_fit == 1 ? "the bytes between tensors fit it alone"
                         : "general.file_type, of those that the bytes fit";
}

static TernStatus size(const Replay *p, TnGgufTensor *t, const Reading *r) {
    size_t n = weights_of(t);
    t->enc = (TnEnc)r->enc;
    t->bytes = bytes_of(r, t->ne[0], n);
    if (t->bytes) return TERN_OK;
    const char *needs = tn_stored_needs(t->enc, (int64_t)(n / t->ne[0]), (int64_t)t->ne[0]);
    if (needs)
        return tn_fail(p->err, TERN_ERR_INPUT,
                       "%s: tensor %s has %llu rows of %llu elements, expected %s for %s", p->g->path,
                       t->name, (unsigned long long)(n / t->ne[0]), (unsigned long long)t->ne[0], needs,
                       r->name);
    return tn_fail(p->err, TERN_ERR_INPUT,
                   "%s: tensor %s has rows of %llu elements, expected a multiple of %u for %s", p->g->path,
                   t->name, (unsigned long long)t->ne[0], r->elems, r->name);
}

/* OxiBonsai's blocks are those of PrismML's first Q2_0 with the scale at the other end: only a key tells, and it is a text
 * where everybody else has a number. */
static const Reading oxibonsai = {42, -1, "TQ2_0_g128", "OxiBonsai", BLOCKS, 128, 34, 0};

static bool is_oxibonsai(const TnGguf *g) {
    static const char tag[] = "TQ2_0_G128";
    const TnGgufKey *k = tn_gguf_key(g, "general.quantization_version");
    return k && k->type == TN_GGUF_STRING && k->n == strlen(tag) && memcmp(k->data, tag, k->n) == 0;
}

/* Decides for all tensors of the number that `order[at]` has. */
static TernStatus settle(const Replay *p, size_t at) {
    const TnGgufTensor *t = p->order[at];
    const Reading *found = NULL;
    size_t n = count_readings(t->type), n_fit = 1;
    if (!n)
        return tn_fail(p->err, TERN_ERR_INPUT, "%s: tensor %s has the unknown type %u", p->g->path, t->name,
                       t->type);
    for (size_t i = 0; i < TN_COUNT(readings) && n == 1; i++)
        if (readings[i].id == t->type) found = &readings[i];
    if (t->type == oxibonsai.id && is_oxibonsai(p->g)) {
        found = &oxibonsai;
    } else if (n > 1) {
        found = only_fit(p, t->type, true, &n_fit);
        if (!found && !n_fit) found = only_fit(p, t->type, false, &n_fit);
        if (!found) return undecided(p, at, n_fit);
    }
    for (size_t i = 0; i < p->g->n_tensors; i++) /* also for a report of a file that is refused */
        if (p->order[i]->type == t->type)
            p->order[i]->type_name = found->name, p->order[i]->type_maker = found->whose;
    if (found->enc < 0) return refuse(p, t, found);
    if (n > 1) note(p->g, found, n_fit);
    for (size_t i = 0; i < p->g->n_tensors; i++) {
        if (p->order[i]->type == t->type) TN_TRY(size(p, p->order[i], found));
    }
    return TERN_OK;
}

static int by_offset(const void *a, const void *b) {
    const TnGgufTensor *x = *(TnGgufTensor *const *)a, *y = *(TnGgufTensor *const *)b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

TernStatus tn_gguf_size_tensors(TnGguf *g, size_t data, size_t align, TernError *err) {
    Replay p = {.g = g, .data = data, .align = align, .err = err};
    p.order = tn_alloc_array(&g->arena, g->n_tensors, sizeof *p.order);
    g->settled = tn_alloc_array(&g->arena, TN_COUNT(readings), sizeof *g->settled);
    for (size_t i = 0; i < g->n_tensors; i++) {
        const TnGgufTensor *t = p.order[i] = &g->tensors[i];
        size_t n = 1;
        for (int d = 0; d < 4; d++)
            if (!tn_mul(n, t->ne[d], &n) || n > (size_t)1 << 42)
                return tn_fail(err, TERN_ERR_INPUT, "%s: tensor %s has more than 2^42 elements", g->path,
                               t->name);
    }
    qsort(p.order, g->n_tensors, sizeof *p.order, by_offset);
    for (size_t i = 0; i < g->n_tensors; i++)
        if (!p.order[i]->type_name) TN_TRY(settle(&p, i));
    return TERN_OK;
}

const char *tn_gguf_tensor_type_name(const TnGgufTensor *t) {
    if (t->type_name) return t->type_name;
    if (count_readings(t->type) > 1) return "undecided";
    for (size_t i = 0; i < TN_COUNT(readings); i++)
        if (readings[i].id == t->type) return readings[i].name;
    return NULL;
}

TernStatus tn_gguf_i2s_layout(TnGguf *g, const char *layout, TernError *err) {
    static const struct {
        const char *name;
        TnEnc enc;
    } layouts[] = {{"128x32", TN_ENC_i2s}, {"64x16", TN_ENC_i2s64}, {"1x4", TN_ENC_i2s4}};
    size_t which = 0, found = 0;
    while (which < TN_COUNT(layouts) && strcmp(layouts[which].name, layout) != 0) which++;
    if (which == TN_COUNT(layouts))
        return tn_fail(err, TERN_ERR_INPUT, "TerncSource.i2s_layout: got '%s', expected 128x32, 64x16 or 1x4",
                       layout);
    for (size_t i = 0; i < g->n_tensors; i++) {
        TnGgufTensor *t = &g->tensors[i];
        if (t->enc != TN_ENC_i2s || t->type_name == NULL) continue;
        uint64_t rows = weights_of(t) / t->ne[0];
        const char *needs = tn_stored_needs(layouts[which].enc, (int64_t)rows, (int64_t)t->ne[0]);
        if (needs)
            return tn_fail(err, TERN_ERR_INPUT,
                           "%s: tensor %s has %llu rows of %llu elements, expected %s for I2_S in %s",
                           g->path, t->name, (unsigned long long)rows, (unsigned long long)t->ne[0], needs,
                           layout);
        t->enc = layouts[which].enc;
        found++;
    }
    if (found) return TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT, "%s: no tensor is I2_S: TerncSource.i2s_layout has no effect",
                   g->path);
}
