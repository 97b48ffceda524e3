#include "codegen/ptx/ptx_writer.h"

#include <inttypes.h>
#include <string.h>
#include "runtime/base/half.h"
#include "runtime/base/status.h"

const TnPxInfo tn_px_rows[TN_PX_ROWS] = {
#define PTX(name, class, text, result, operands, ...) {#name, text, result, operands, TN_PX_##class},
#include "codegen/ptx/ptx.def"
#undef PTX
};
const char *const tn_px_specials[TN_PX_SPECIALS] = {
#define SPECIAL(name, text) text,
#include "codegen/ptx/ptx_special.def"
#undef SPECIAL
};

static const char kinds[] = "rfhdgp";
static const char *const kind_types[TN_PX_KINDS] = {"b32", "f32", "b16", "b64", "f64", "pred"};
#define SHARED "tn_shared"

void tn_px_module(TnBuf *out, const char *version, const char *target) {
    tn_buf_printf(out, ".version %s\n.target %s\n.address_size 64\n", version, target);
    tn_buf_puts(out, ".extern .shared .align 16 .b8 " SHARED "[];\n");
}

void tn_px_open(TnPx *x, const char *name, uint32_t params) {
    TN_CHECK(x->out && !x->name);
    x->name = name;
    x->params = params;
}

void tn_px_close(TnPx *x) {
    TN_CHECK(x->name && !x->guard.kind);
    tn_buf_printf(x->out, ".visible .entry %s(", x->name);
    for (uint32_t i = 0; i < x->params; i++)
        tn_buf_printf(x->out, "%s\n.param .u64 %s_%" PRIu32, i ? "," : "", x->name, i);
    tn_buf_puts(x->out, ")\n");
    /* one CTA at a time is enough: without this ptxas keeps to 32 registers, and spills, to fit eight of them */
    if (x->threads) tn_buf_printf(x->out, ".maxntid %" PRIu32 ", 1, 1\n.minnctapersm 1\n", x->threads);
    tn_buf_puts(x->out, "{\n");
    for (int k = 0; k < TN_PX_KINDS; k++)
        if (x->registers[k])
            tn_buf_printf(x->out, ".reg .%s %%%c<%" PRIu32 ">;\n", kind_types[k], kinds[k], x->registers[k]);
    tn_buf_put(x->out, x->body.data, x->body.len);
    tn_buf_puts(x->out, "}\n");
    tn_buf_free(&x->body);
    x->name = NULL;
}

/* ---- values */

TnPxV tn_px_f(float v) {
    return (TnPxV){.kind = 'f', .number = true, .bits = tn_f32_bits(v)};
}
TnPxV tn_px_g(double v) {
    TnPxV r = {.kind = 'g', .number = true};
    memcpy(&r.bits, &v, 8);
    return r;
}

TnPxV tn_px_reg(TnPx *x, char kind) {
    const char *k = strchr(kinds, kind);
    TN_CHECK(kind && k);
    return (TnPxV){.kind = kind, .reg = x->registers[k - kinds]++};
}

void tn_px_set(TnPx *x, TnPxV to, TnPxV v) {
    TN_CHECK(to.kind == v.kind);
    switch (to.kind) {
    case 'r':
        PX_TO(x, to, mov, v);
        return;
    case 'f':
        PX_TO(x, to, mov_f, v);
        return;
    case 'd':
        PX_TO(x, to, mov_d, v);
        return;
    case 'g':
        PX_TO(x, to, mov_g, v);
        return;
    default:
        TN_BUG("no instruction moves a register of kind %c", to.kind);
    }
}

TnPxV tn_px_var(TnPx *x, TnPxV v) {
    TnPxV r = tn_px_reg(x, v.kind);
    tn_px_set(x, r, v);
    return r;
}

TnPxV tn_px_special(TnPx *x, TnPxSpecial s) {
    return PX(x, special, (TnPxV){.kind = 's', .reg = s});
}

TnPxV tn_px_at(TnPxV base, int64_t offset) {
    if (base.kind == 'G' || base.kind == 'S') {
        base.bits += (uint64_t)offset;
        return base;
    }
    TN_CHECK((base.kind == 'd' || base.kind == 'r') && !base.number);
    return (TnPxV){.kind = base.kind == 'd' ? 'G' : 'S', .reg = base.reg, .bits = (uint64_t)offset};
}

uint32_t tn_px_shared(TnPx *x, uint32_t bytes, uint32_t align) {
    TN_CHECK(align && align <= 16 && (align & (align - 1)) == 0);
    uint32_t at = (x->used + align - 1) & ~(align - 1);
    x->used = at + bytes;
    if (x->used > x->shared) x->shared = x->used;
    return at;
}

TnPxV tn_px_shared_base(TnPx *x) {
    if (x->base.kind) return x->base;
    /* made where the body begins, so that it is set on every way to a use */
    TnBuf rest = x->body;
    TnPxV guard = x->guard;
    bool unless = x->unless;
    x->body = (TnBuf){0};
    x->guard = (TnPxV){0};
    x->base = PX(x, shared, (TnPxV){.kind = 'y'});
    tn_buf_put(&x->body, rest.data, rest.len);
    tn_buf_free(&rest);
    x->guard = guard;
    x->unless = unless;
    return x->base;
}

TnPxV tn_px_shared_at(TnPx *x, uint32_t offset) {
    return tn_px_at(tn_px_shared_base(x), offset);
}

/* ---- instructions */

static void put_value(TnPx *x, TnPxV v) {
    TnBuf *b = &x->body;
    switch (v.kind) {
    case 's':
        TN_CHECK(v.reg < TN_PX_SPECIALS);
        tn_buf_puts(b, tn_px_specials[v.reg]);
        return;
    case 'y':
        tn_buf_puts(b, SHARED);
        return;
    case 'L':
        tn_buf_printf(b, "$L%" PRIu32, v.reg);
        return;
    case 'P':
        TN_CHECK(v.reg < x->params);
        tn_buf_printf(b, "[%s_%" PRIu32 "]", x->name, v.reg);
        return;
    case 'G':
    case 'S':
        tn_buf_printf(b, "[%%%c%" PRIu32, v.kind == 'G' ? 'd' : 'r', v.reg);
        if (v.bits) tn_buf_printf(b, "+%" PRId64, (int64_t)v.bits);
        tn_buf_puts(b, "]");
        return;
    default:
        break;
    }
    if (!v.number)
        tn_buf_printf(b, "%%%c%" PRIu32, v.kind, v.reg);
    else if (v.kind == 'f')
        tn_buf_printf(b, "0f%08" PRIx32, (uint32_t)v.bits);
    else if (v.kind == 'g')
        tn_buf_printf(b, "0d%016" PRIx64, v.bits);
    else if (v.kind == 'r')
        tn_buf_printf(b, "%" PRIu32, (uint32_t)v.bits);
    else
        tn_buf_printf(b, "%" PRId64, (int64_t)v.bits);
}

/* Writes the values of a pattern of ptx.def from *v on; returns how many. */
static uint32_t put_pattern(TnPx *x, TnPxRow row, const char *pattern, const TnPxV *v, uint32_t have,
                            bool result) {
    uint32_t n = 0;
    bool braces = false, first = true;
    for (const char *p = pattern; *p; p++) {
        if (*p == '}') {
            tn_buf_puts(&x->body, "}");
            braces = first = false;
            continue;
        }
        if (!first) tn_buf_puts(&x->body, ", ");
        first = false;
        if (*p == '{') {
            tn_buf_puts(&x->body, "{");
            braces = first = true;
            continue;
        }
        if (n >= have || v[n].kind != *p || ((braces || result || *p == 'p' || *p == 'h') && v[n].number))
            TN_BUG("%s: operand %" PRIu32 " of \"%s\" is %c, expected %c", tn_px_rows[row].name, n, pattern,
                   n < have && v[n].kind ? v[n].kind : '-', *p);
        put_value(x, v[n++]);
    }
    return n;
}

static uint32_t letters(const char *pattern) {
    uint32_t n = 0;
    for (; *pattern; pattern++) n += *pattern != '{' && *pattern != '}';
    return n;
}

static void write(TnPx *x, TnPxRow row, const TnPxV *results, const TnPxV *operands, uint32_t n) {
    const TnPxInfo *info = &tn_px_rows[row];
    TN_CHECK(x->name && row < TN_PX_ROWS);
    if (x->guard.kind) tn_buf_printf(&x->body, "@%s%%p%" PRIu32 " ", x->unless ? "!" : "", x->guard.reg);
    x->guard = (TnPxV){0};
    tn_buf_puts(&x->body, info->text);
    uint32_t made = letters(info->result);
    if (made) {
        tn_buf_puts(&x->body, " ");
        put_pattern(x, row, info->result, results, made, true);
    }
    if (*info->operands) {
        tn_buf_puts(&x->body, made ? ", " : " ");
        uint32_t used = put_pattern(x, row, info->operands, operands, n, false);
        TN_CHECK(used == n);
    } else {
        TN_CHECK(n == 0);
    }
    tn_buf_puts(&x->body, ";\n");
}

void tn_px_many(TnPx *x, TnPxRow row, TnPxV *results, const TnPxV *operands, uint32_t n) {
    uint32_t made = 0;
    for (const char *p = tn_px_rows[row].result; *p; p++)
        if (*p != '{' && *p != '}') results[made++] = tn_px_reg(x, *p);
    write(x, row, results, operands, n);
}

TnPxV tn_px_op(TnPx *x, TnPxRow row, const TnPxV *into, const TnPxV *operands, uint32_t n) {
    TnPxV made[4] = {{0}};
    if (into)
        write(x, row, into, operands, n);
    else
        tn_px_many(x, row, made, operands, n);
    return into ? into[0] : made[0];
}

void tn_px_when(TnPx *x, TnPxV p) {
    TN_CHECK(p.kind == 'p' && !x->guard.kind);
    x->guard = p;
    x->unless = false;
}
void tn_px_unless(TnPx *x, TnPxV p) {
    tn_px_when(x, p);
    x->unless = true;
}

void tn_px_note(TnPx *x, const char *text) {
    TN_CHECK(!strchr(text, '\n'));
    tn_buf_printf(&x->body, "// %s\n", text);
}

/* ---- flow */

TnPxV tn_px_label(TnPx *x) {
    return (TnPxV){.kind = 'L', .reg = x->labels++};
}
void tn_px_place(TnPx *x, TnPxV label) {
    TN_CHECK(label.kind == 'L' && !x->guard.kind);
    tn_buf_printf(&x->body, "$L%" PRIu32 ":\n", label.reg);
}
void tn_px_go(TnPx *x, TnPxV label) {
    PX(x, bra, label);
}
void tn_px_go_if(TnPx *x, TnPxV p, TnPxV label) {
    tn_px_when(x, p);
    PX(x, bra, label);
}
void tn_px_go_unless(TnPx *x, TnPxV p, TnPxV label) {
    tn_px_unless(x, p);
    PX(x, bra, label);
}
void tn_px_barrier(TnPx *x) {
    PX(x, bar, tn_px_i(0));
}
void tn_px_barrier_warp(TnPx *x) {
    PX(x, bar_warp, tn_px_i(-1));
}

TnPxLoop tn_px_loop(TnPx *x, TnPxV start, TnPxV end, TnPxV step) {
    TnPxLoop l = {.i = tn_px_var(x, start), .end = end, .step = step, .head = tn_px_label(x)};
    l.exit = tn_px_label(x);
    tn_px_place(x, l.head);
    tn_px_go_if(x, PX(x, ge, l.i, end), l.exit);
    return l;
}
void tn_px_loop_end(TnPx *x, TnPxLoop *l) {
    PX_TO(x, l->i, add, l->i, l->step);
    tn_px_go(x, l->head);
    tn_px_place(x, l->exit);
}

TnPxIf tn_px_if(TnPx *x, TnPxV p) {
    TnPxIf i = {.other = tn_px_label(x), .exit = tn_px_label(x)};
    tn_px_go_unless(x, p, i.other);
    return i;
}
void tn_px_else(TnPx *x, TnPxIf *i) {
    TN_CHECK(!i->has_else);
    i->has_else = true;
    tn_px_go(x, i->exit);
    tn_px_place(x, i->other);
}
void tn_px_if_end(TnPx *x, TnPxIf *i) {
    tn_px_place(x, i->has_else ? i->exit : i->other);
}
