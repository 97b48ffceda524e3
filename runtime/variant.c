#include "runtime/base/escape.h"
#include "runtime/variant.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "runtime/base/reader.h"

_Static_assert(sizeof(TnBlobMeta) == 96 && sizeof(TnBlobCode) == 24 && sizeof(TnBlobExport) == 16 &&
                   sizeof(TnBlobProg) == 64 && sizeof(TnBlobLaunch) == 64 && sizeof(TnBlobOperand) == 24 &&
                   sizeof(TnBlobPlan) == 120,
               "the file's structs have no holes");

typedef unsigned long long Num; /* for printf */

/* A section being read: every error begins with its name. */
typedef struct Reading {
    const TnBlob *b;
    const TnBlobSection *s;
    TnReader r;
    TernError *err;
} Reading;

static Reading reading(const TnBlob *b, const TnBlobSection *s, const uint8_t *bytes, TernError *err) {
    return (Reading){b, s, tn_reader(bytes, s->size), err};
}

/* bad(r, what, found, expected): "section PROG 1: launch 3: export_index is 9, expected below 4". */
static TernStatus bad(const Reading *r, const char *fmt, ...) TN_PRINTF(2, 3);
static TernStatus bad(const Reading *r, const char *fmt, ...) {
    char text[sizeof(((TernError *)0)->text)];
    va_list ap;
    va_start(ap, fmt);
    tn_message(text, sizeof text, fmt, ap);
    va_end(ap);
    return tn_fail(r->err, TERN_ERR_INPUT, "%s: %s", tn_section_name(r->b, r->s).text, text);
}
#ifdef __clang_analyzer__ /* it does not look into the function */
#define bad(r, ...) (bad(r, __VA_ARGS__), TERN_ERR_INPUT)
#endif

/* Copies the next `count` structs of `elem` bytes to `arena`, so that a change of the file cannot change them later. */
static TernStatus take_array(Reading *r, TnArena *arena, uint64_t count, size_t elem, const char *what,
                             const void **out) {
    size_t bytes;
    *out = NULL;
    const void *p = count <= r->r.size && tn_mul((size_t)count, elem, &bytes) ? tn_read(&r->r, bytes) : NULL;
    if (!p)
        return bad(r, "%llu %s of %zu bytes do not fit in the %zu bytes left", (Num)count, what, elem,
                   tn_left(&r->r));
    void *copy = tn_alloc(arena, bytes ? bytes : 1);
    memcpy(copy, p, bytes);
    *out = copy;
    return TERN_OK;
}

static TernStatus check_range(const Reading *r, TnBlobRange range, const char *what) {
    if (tn_range_ok(range.offset, range.size, r->r.size)) return TERN_OK;
    return bad(r, "%s: offset %u with size %u, expected to end within %zu bytes", what, range.offset,
               range.size, r->r.size);
}

/* META */

static TernStatus read_string(Reading *r, TnArena *arena, TnBlobRange range, const char *what,
                              const char **out) {
    TN_TRY(check_range(r, range, what));
    *out = tn_strndup(arena, (const char *)r->r.base + range.offset, range.size);
    return TERN_OK;
}

TernStatus tn_meta_read(const TnBlob *b, TnArena *arena, TnMeta *out, TernError *err) {
    const TnBlobSection *s = tn_blob_section(b, TN_SECTION_META, 0);
    Reading r = reading(b, s, tn_blob_bytes(b, s), err);
    const void *p;
    TN_TRY(take_array(&r, arena, 1, sizeof(TnBlobMeta), "META head", &p));
    TnMeta m = {0};
    memcpy(&m.facts, p, sizeof m.facts);
    const TnBlobMeta *f = &m.facts;
    const struct {
        const char *name;
        uint32_t value, most;
    } sizes[] = {
        {"n_vocab", f->n_vocab, 1u << 30},   {"n_context", f->n_context, TN_CONTEXT_MAX},
        {"n_layers", f->n_layers, 1u << 16}, {"n_hidden", f->n_hidden, 1u << 24},
        {"n_heads", f->n_heads, 1u << 16},   {"n_kv_heads", f->n_kv_heads, 1u << 16},
        {"head_dim", f->head_dim, 1u << 16},
    };
    for (size_t i = 0; i < TN_COUNT(sizes); i++)
        if (sizes[i].value == 0 || sizes[i].value > sizes[i].most)
            return bad(&r, "%s is %u, expected 1 to %u", sizes[i].name, sizes[i].value, sizes[i].most);
    if (f->pooling >= TN_POOLING_COUNT)
        return bad(&r, "pooling is %u, expected 0 to %d", f->pooling, TN_POOLING_COUNT - 1);
    if (f->reserved) return bad(&r, "reserved is %u, expected 0", f->reserved);
    TN_TRY(read_string(&r, arena, f->arch, "arch", &m.arch));
    TN_TRY(read_string(&r, arena, f->name, "name", &m.name));
    TN_TRY(read_string(&r, arena, f->producer, "producer", &m.producer));
    TN_TRY(read_string(&r, arena, f->desc, "desc", &m.desc));
    TN_TRY(check_range(&r, f->vocab, "vocab"));
    if (f->vocab.size) {
        if (f->vocab.offset % 64 != 0)
            return bad(&r, "vocab: offset is %u, expected a multiple of 64", f->vocab.offset);
        m.vocab = r.r.base + f->vocab.offset;
        m.vocab_bytes = f->vocab.size;
    }
    *out = m;
    return TERN_OK;
}

uint64_t tn_page_size(const TnMeta *m, uint32_t kv) {
    const TnKvType *type = tn_kv_type(kv);
    return m->facts.n_kv_heads * 64 * ((uint64_t)m->facts.head_dim * type->elem_bytes + type->scale_bytes);
}

/* CODE and PTXT */

uint32_t tn_code_kind(uint32_t level) {
    const TnLevelRow *row = tn_level_numbered(level);
    return row && row->arch == TN_ARCH_PTX ? TN_SECTION_PTXT : TN_SECTION_CODE;
}

/* The image of a PTXT is handed to a driver as a string, and its entries are found by name. */
static TernStatus check_text(const Reading *r, const TnCode *c) {
    static const char before[] = ".visible .entry ";
    const size_t n_before = sizeof before - 1;
    const uint8_t *end = c->bytes ? memchr(c->image, 0, c->bytes) : NULL;
    if (!end || (size_t)(end - c->image) != c->bytes - 1)
        return bad(r, "image: a 0 at %llu of %llu bytes, expected one at the end",
                   end ? (Num)(end - c->image) : (Num)c->bytes, (Num)c->bytes);
    for (uint32_t i = 0; i < c->n; i++) {
        TnBlobRange name = c->exports[i].name;
        const uint8_t *at = c->image + c->exports[i].entry, *is = c->section + name.offset;
        size_t room = (size_t)(end - at);
        if (at > end || room < n_before + name.size + 1 || memcmp(at, before, n_before) != 0 ||
            memcmp(at + n_before, is, name.size) != 0 || at[n_before + name.size] != '(')
            return bad(r, "export %u: no \".visible .entry %s(\" at %llu", i, tn_shown_n(is, name.size).s,
                       (Num)c->exports[i].entry);
    }
    return TERN_OK;
}

TernStatus tn_code_read(const TnBlob *b, const TnBlobSection *s, const uint8_t *bytes, TnArena *arena,
                        TnCode *out, TernError *err) {
    Reading r = reading(b, s, bytes, err);
    const void *p;
    TN_TRY(take_array(&r, arena, 1, sizeof(TnBlobCode), "head", &p));
    const TnBlobCode *head = p;
    TN_TRY(take_array(&r, arena, head->n_exports, sizeof(TnBlobExport), "exports", &p));
    const TnBlobExport *exports = p;
    if (head->image_offset % 64 != 0 || !tn_range_ok(head->image_offset, head->image_size, s->size))
        return bad(
            &r, "image: offset %llu with size %llu, expected a multiple of 64 and to end within %llu bytes",
            (Num)head->image_offset, (Num)head->image_size, (Num)s->size);
    for (uint32_t i = 0; i < head->n_exports; i++) {
        if (exports[i].entry >= head->image_size)
            return bad(&r, "export %u: entry is %llu, expected below %llu", i, (Num)exports[i].entry,
                       (Num)head->image_size);
        TN_TRY(check_range(&r, exports[i].name, "an export's name"));
    }
    *out = (TnCode){.section = bytes,
                    .exports = exports,
                    .n = head->n_exports,
                    .image = bytes + head->image_offset,
                    .bytes = (size_t)head->image_size};
    return s->kind == TN_SECTION_PTXT ? check_text(&r, out) : TERN_OK;
}

/* PLAN */

static TernStatus read_plan(const TnBlob *b, const TnMeta *meta, TnArena *arena, TnVariant *v,
                            TernError *err) {
    static const char *const symbols[TN_ABI_SYMS] = {"T", "R", "K", "H", "S", "P", "N", "L"};
    const TnBlobSection *s = tn_blob_section(b, TN_SECTION_PLAN, v->index);
    Reading r = reading(b, s, tn_blob_bytes(b, s), err);
    const void *bytes;
    TN_TRY(take_array(&r, arena, 1, sizeof(TnBlobPlan), "PLAN", &bytes));
    memcpy(&v->plan, bytes, sizeof v->plan);
    const TnBlobPlan *p = &v->plan;
    if (s->level != v->prog.level)
        return bad(&r, "level is %u, expected %u as in PROG %u", s->level, v->prog.level, v->index);
    for (int i = 0; i < TN_ABI_SYMS; i++)
        if (p->arena[i] > TN_BYTES_MAX)
            return bad(&r, "arena bytes for %s are %llu, expected at most 2^40", symbols[i],
                       (Num)p->arena[i]);
    if (p->arena_const > TN_BYTES_MAX || p->scratch > TN_BYTES_MAX || p->scratch_page > TN_BYTES_MAX)
        return bad(&r, "arena_const %llu, scratch %llu, scratch_page %llu, expected at most 2^40",
                   (Num)p->arena_const, (Num)p->scratch, (Num)p->scratch_page);
    Num page = tn_page_size(meta, v->prog.kv);
    if (p->key_page != page || p->value_page != page)
        return bad(&r, "key_page is %llu and value_page %llu, expected %llu by META", (Num)p->key_page,
                   (Num)p->value_page, page);
    Num weights = tn_blob_section(b, TN_SECTION_WGHT, 0)->size;
    if (p->weight_bytes > weights)
        return bad(&r, "weight_bytes is %llu, expected at most %llu", (Num)p->weight_bytes, weights);
    if (p->topk > 65536) return bad(&r, "topk is %u, expected at most 65536", p->topk);
    return TERN_OK;
}

/* PROG */

static TernStatus check_operand(const Reading *r, const TnVariant *v, const TnMeta *meta, uint32_t i) {
    const TnBlobOperand *o = &v->operands[i];
    Num room;
    if (o->offset % 64 != 0)
        return bad(r, "operand %u: offset is %llu, expected a multiple of 64", i, (Num)o->offset);
    switch (o->space) {
    case TN_SPACE_ARENA:
        if (o->index != UINT32_MAX && o->index >= TN_ABI_SYMS)
            return bad(r, "operand %u: symbol %u, expected below %d", i, o->index, TN_ABI_SYMS);
        room = o->index == UINT32_MAX ? v->plan.arena_const : v->plan.arena[o->index];
        if (!tn_range_ok(o->offset, o->row_bytes, room))
            return bad(
                r, "operand %u: offset %llu with %llu bytes a row, expected to end within the arena's %llu",
                i, (Num)o->offset, (Num)o->row_bytes, room);
        return TERN_OK;
    case TN_SPACE_WGHT:
        room = tn_blob_section(r->b, TN_SECTION_WGHT, 0)->size;
        if (!tn_range_ok(o->offset, o->row_bytes, room))
            return bad(r, "operand %u: offset %llu with %llu bytes, expected to end within the %llu of WGHT",
                       i, (Num)o->offset, (Num)o->row_bytes, room);
        return TERN_OK;
    case TN_SPACE_INPUT:
        if (o->index < TN_IN_COUNT && o->offset == 0) return TERN_OK;
        return bad(r, "operand %u: input %u at %llu, expected an input below %d at 0", i, o->index,
                   (Num)o->offset, TN_IN_COUNT);
    case TN_SPACE_KEYS:
    case TN_SPACE_VALUES:
        if (o->index < meta->facts.n_layers && o->offset == 0) return TERN_OK;
        return bad(r, "operand %u: cache of layer %u at %llu, expected a layer below %u at 0", i, o->index,
                   (Num)o->offset, meta->facts.n_layers);
    default:
        return bad(r, "operand %u: space is %u, expected 0 to %d", i, o->space, TN_SPACE_VALUES);
    }
}

static bool symbol_or_none(uint32_t s) {
    return s == UINT32_MAX || s < TN_ABI_SYMS;
}

static TernStatus check_launch(const Reading *r, const TnVariant *v, uint32_t n_exports, uint32_t i) {
    const TnBlobLaunch *l = &v->launches[i];
    if (v->prog.level == TN_LEVEL_REF ? l->export_index != 0 : l->export_index >= n_exports)
        return bad(r, "launch %u: export_index is %u, expected below %u", i, l->export_index,
                   v->prog.level == TN_LEVEL_REF ? 1 : n_exports);
    if (!tn_range_ok(l->first_operand, l->n_operands, v->prog.n_operands) || l->n_reads > l->n_operands)
        return bad(r, "launch %u: operands %u + %u, %u of them read, expected to end within %u", i,
                   l->first_operand, l->n_operands, l->n_reads, v->prog.n_operands);
    if (!symbol_or_none(l->gate_sym) || !symbol_or_none(l->unit_sym))
        return bad(r, "launch %u: gate_sym %u, unit_sym %u, expected symbols below %d", i, l->gate_sym,
                   l->unit_sym, TN_ABI_SYMS);
    if (l->units == 0 || l->units > TN_UNITS_MAX)
        return bad(r, "launch %u: units is %llu, expected 1 to 2^31", i, (Num)l->units);
    if (l->scratch > v->plan.scratch || l->scratch_page > v->plan.scratch_page)
        return bad(r, "launch %u: scratch %llu + %llu a page, expected at most %llu + %llu by PLAN", i,
                   (Num)l->scratch, (Num)l->scratch_page, (Num)v->plan.scratch, (Num)v->plan.scratch_page);
    if (l->flags & ~(TN_LAUNCH_BARRIER | TN_LAUNCH_LISTS))
        return bad(r, "launch %u: flags are 0x%x, expected 0 to 3", i, l->flags);
    if ((l->flags & TN_LAUNCH_LISTS) && l->scratch < sizeof(TnRowList))
        return bad(r, "launch %u: scratch %llu, expected at least %zu for a list of rows", i, (Num)l->scratch,
                   sizeof(TnRowList));
    if (l->block && l->gate_sym == UINT32_MAX)
        return bad(r, "launch %u: blocks of %u rows, but gate_sym is none, expected a symbol", i, l->block);
    if (l->threads > TN_LAUNCH_THREADS_MAX || l->shared > TN_LAUNCH_SHARED_MAX)
        return bad(r, "launch %u: %u threads sharing %u bytes, expected at most %d and %d", i, l->threads,
                   l->shared, TN_LAUNCH_THREADS_MAX, TN_LAUNCH_SHARED_MAX);
    /* Writes must go to the session's memory: weights are mapped read-only. Caches are updated in place and count as
     * reads. */
    for (uint32_t j = l->n_reads; j < l->n_operands; j++)
        if (v->operands[l->first_operand + j].space != TN_SPACE_ARENA)
            return bad(r, "launch %u: writes operand %u of space %u, expected the arena", i,
                       l->first_operand + j, v->operands[l->first_operand + j].space);
    return check_range(r, l->name, "a launch's name");
}

/* Checks the outputs, which the runtime itself reads after a step. */
static TernStatus check_outputs(const Reading *r, const TnVariant *v, const TnMeta *meta) {
    struct {
        const char *name;
        uint32_t symbol;
        uint64_t row_bytes;
    } outs[TN_OUT_COUNT] = {
        {"best", TN_ABI_R, 4},
        {"top", TN_ABI_K, 4ull * v->plan.topk},
        {"toplogit", TN_ABI_K, 4ull * v->plan.topk},
        {"logits", TN_ABI_R, 4ull * meta->facts.n_vocab},
        {"hidden", TN_ABI_H, 4ull * meta->facts.n_hidden},
    };
    for (uint32_t i = 0; i < TN_COUNT(v->prog.output); i++) {
        uint32_t at = v->prog.output[i];
        if (at == UINT32_MAX) continue;
        if (i >= TN_OUT_COUNT) return bad(r, "output %u is operand %u, expected none", i, at);
        if (at >= v->prog.n_operands)
            return bad(r, "output %s is operand %u, expected below %u", outs[i].name, at, v->prog.n_operands);
        const TnBlobOperand *o = &v->operands[at];
        if (i == TN_OUT_LOGITS && o->index == TN_ABI_L) outs[i].symbol = TN_ABI_L;
        if (o->space != TN_SPACE_ARENA || o->index != outs[i].symbol || o->row_bytes < outs[i].row_bytes ||
            o->row_bytes % 4 != 0 || (i == TN_OUT_BEST && o->row_bytes != 4))
            return bad(r, "output %s: space %u, symbol %u, %llu bytes a row, expected 0, %u, %llu",
                       outs[i].name, o->space, o->index, (Num)o->row_bytes, outs[i].symbol,
                       (Num)outs[i].row_bytes);
    }
    if (v->prog.output[TN_OUT_BEST] == UINT32_MAX) return bad(r, "output best is missing");
    return TERN_OK;
}

static TernStatus read_variant(const TnBlob *b, const TnMeta *meta, TnArena *arena, uint32_t index,
                               TnVariant *out, TernError *err) {
    const TnBlobSection *s = tn_blob_section(b, TN_SECTION_PROG, index);
    Reading r = reading(b, s, tn_blob_bytes(b, s), err);
    TnVariant v = {.index = index};
    const void *p;
    TN_TRY(take_array(&r, arena, 1, sizeof(TnBlobProg), "PROG head", &p));
    memcpy(&v.prog, p, sizeof v.prog);
    const TnBlobProg *g = &v.prog;
    if (g->level != s->level)
        return bad(&r, "level is %u, expected %u by the section table", g->level, s->level);
    if (!tn_kv_type(g->kv)) return bad(&r, "kv is %u, expected 1 to 3", g->kv);
    if (g->rows_lo == 0 || g->rows_lo > g->rows_hi || g->rows_hi > TN_ROWS_MAX)
        return bad(&r, "rows are %u..%u, expected within 1..%u", g->rows_lo, g->rows_hi, TN_ROWS_MAX);
    TN_TRY(take_array(&r, arena, g->n_launches, sizeof(TnBlobLaunch), "launches", &p));
    v.launches = p;
    TN_TRY(take_array(&r, arena, g->n_operands, sizeof(TnBlobOperand), "operands", &p));
    v.operands = p;
    TN_TRY(read_plan(b, meta, arena, &v, err));

    TnCode code = {0};
    if (g->level == TN_LEVEL_REF) {
        if (g->code != UINT32_MAX) return bad(&r, "code is section %u, expected none for level ref", g->code);
    } else {
        const TnBlobSection *of = g->code < b->n_sections ? &b->sections[g->code] : NULL;
        uint32_t kind = tn_code_kind(g->level);
        if (!of || of->kind != kind || of->level != g->level)
            return bad(&r, "code is section %u of %u, expected a %s section of level %u", g->code,
                       b->n_sections, tn_section_kind(kind)->name, g->level);
        TN_TRY(tn_code_read(b, of, tn_blob_bytes(b, of), arena, &code, err));
    }
    for (uint32_t i = 0; i < g->n_operands; i++) TN_TRY(check_operand(&r, &v, meta, i));
    for (uint32_t i = 0; i < g->n_launches; i++) TN_TRY(check_launch(&r, &v, code.n, i));
    TN_TRY(check_outputs(&r, &v, meta));
    *out = v;
    return TERN_OK;
}

bool tn_logits_apart(const TnVariant *v) {
    uint32_t at = v->prog.output[TN_OUT_LOGITS];
    return at != UINT32_MAX && v->operands[at].index == TN_ABI_L;
}

/* All variants must agree on this: a session counts rows before it knows which variant will run them. */
static TernStatus check_apart(const TnBlob *b, const TnVariant *vs, uint32_t n, TernError *err) {
    for (uint32_t i = 1; i < n; i++)
        if (tn_logits_apart(&vs[i]) != tn_logits_apart(&vs[0]))
            return tn_fail(err, TERN_ERR_INPUT, "%s: output logits is led by %s, but by %s in PROG 0",
                           tn_section_name(b, tn_blob_section(b, TN_SECTION_PROG, i)).text,
                           tn_logits_apart(&vs[i]) ? "L" : "R", tn_logits_apart(&vs[0]) ? "L" : "R");
    return TERN_OK;
}

/* Every number of rows from 1 to the largest must have a variant. */
static TernStatus check_rows(const TnBlob *b, const TnVariant *vs, uint32_t n, TernError *err) {
    for (uint32_t i = 0; i < n; i++) {
        uint32_t next = 1;
        for (uint32_t j = 0; j < i; j++)
            if (vs[j].prog.level == vs[i].prog.level && vs[j].prog.kv == vs[i].prog.kv)
                next = vs[j].prog.rows_hi + 1;
        if (vs[i].prog.rows_lo != next)
            return tn_fail(err, TERN_ERR_INPUT,
                           "%s: rows are %u..%u, expected to begin at %u, after the variant before it",
                           tn_section_name(b, tn_blob_section(b, TN_SECTION_PROG, i)).text,
                           vs[i].prog.rows_lo, vs[i].prog.rows_hi, next);
    }
    return TERN_OK;
}

TernStatus tn_variants_read(const TnBlob *b, const TnMeta *meta, TnArena *arena, TnVariant **out,
                            uint32_t *out_n, TernError *err) {
    uint32_t n = tn_blob_count(b, TN_SECTION_PROG);
    TnVariant *vs = tn_alloc_array(arena, n, sizeof *vs);
    for (uint32_t i = 0; i < n; i++) TN_TRY(read_variant(b, meta, arena, i, &vs[i], err));
    TN_TRY(check_rows(b, vs, n, err));
    TN_TRY(check_apart(b, vs, n, err));
    *out = vs;
    *out_n = n;
    return TERN_OK;
}
