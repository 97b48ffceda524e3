/* The tables of ops.def, traits.def, types.def and attrs.def as arrays, and lookups in them. */
#include "ir/internal.h"
#include <string.h>

/* As the rows of ops.def spell them. */
enum {
#define TRAIT(name, doc) name = 1 << TN_TRAIT_##name,
#include "ir/traits.def"
#undef TRAIT
};
_Static_assert(TN_TRAIT_COUNT <= 31, "a trait is a bit of an int");

const TnOpInfo tn_ops[TN_OP_COUNT] = {
#define OP(name, lo, hi, class, stages, attrs, traits, doc)                                                  \
    {#name, lo, hi, TN_##class, stages, attrs, traits, doc},
#include "ir/ops.def"
#undef OP
};

const TnTraitInfo tn_traits[TN_TRAIT_COUNT] = {
#define TRAIT(name, doc) {#name, doc},
#include "ir/traits.def"
#undef TRAIT
};

const TnEncInfo tn_encs[TN_ENC_COUNT] = {
#define ENC(name, kind, elems, bytes, doc) {#name, TN_##kind, elems, bytes, doc},
#include "ir/types.def"
#undef ENC
};

const TnAttrInfo tn_attrs[TN_ATTR_COUNT] = {
#define ATTR(name, kind, doc) {#name, TN_A##kind, doc},
#include "ir/attrs.def"
#undef ATTR
};

const char *const tn_sym_names[TN_SYM_COUNT] = {"T", "R", "K", "H", "S", "P", "N", "L"};

static bool same(const char *name, const char *s, size_t n) {
    return strncmp(name, s, n) == 0 && name[n] == '\0';
}

TnOp tn_op_find(const char *s, size_t n) {
    int i = 0;
    while (i < TN_OP_COUNT && !same(tn_ops[i].name, s, n)) i++;
    return (TnOp)i;
}

TnEnc tn_enc_find(const char *s, size_t n) {
    int i = 0;
    while (i < TN_ENC_COUNT && !same(tn_encs[i].name, s, n)) i++;
    return (TnEnc)i;
}

TnAttrKey tn_attr_find(const char *s, size_t n) {
    int i = 0;
    while (i < TN_ATTR_COUNT && !same(tn_attrs[i].name, s, n)) i++;
    return (TnAttrKey)i;
}

TnSym tn_sym_find(const char *s, size_t n) {
    int i = 0;
    while (i < TN_SYM_COUNT && !same(tn_sym_names[i], s, n)) i++;
    return (TnSym)i;
}

TnAttrRule tn_attr_rule(TnOp op, TnAttrKey key) {
    if (key == TN_ATTR_off)
        return tn_ops[op].class == TN_SOURCE || tn_ops[op].class == TN_SINK ? TN_ATTR_FOREIGN
                                                                            : TN_ATTR_OPTIONAL;
    const char *want = tn_attrs[key].name;
    for (const char *p = tn_ops[op].attrs; *p;) {
        size_t n = strcspn(p, " ");
        bool optional = n && p[n - 1] == '?';
        if (same(want, p, n - optional)) return optional ? TN_ATTR_OPTIONAL : TN_ATTR_REQUIRED;
        p += n;
        p += strspn(p, " ");
    }
    return TN_ATTR_FOREIGN;
}

static bool is_alpha(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}
static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool tn_name_ok(const char *s, size_t n) {
    if (n == 0 || n > TN_NAME_MAX) return false;
    bool number = is_digit(s[0]);
    if (!number && !is_alpha(s[0])) return false;
    for (size_t i = 1; i < n; i++)
        if (number ? !is_digit(s[i]) : !is_alpha(s[i]) && !is_digit(s[i]) && s[i] != '.') return false;
    return true;
}

bool tn_word_ok(const char *s, size_t n) {
    if (n == 0 || n > TN_NAME_MAX) return false;
    if (!is_alpha(s[0]) && !is_digit(s[0])) return false;
    for (size_t i = 1; i < n; i++)
        if (!is_alpha(s[i]) && !is_digit(s[i]) && s[i] != '.' && s[i] != '-' && s[i] != '+') return false;
    return true;
}

bool tn_enc_is_ternary(TnEnc e) {
    return e == TN_ENC_i2s || e == TN_ENC_tq1 || e == TN_ENC_tq2 || e == TN_ENC_t8 || e == TN_ENC_p64 ||
           e == TN_ENC_i2s64 || e == TN_ENC_i2s4 || e == TN_ENC_tl1 || e == TN_ENC_tl2 || e == TN_ENC_iq1bn ||
           e == TN_ENC_iq2bn || e == TN_ENC_iq2bn4 || e == TN_ENC_q2g64 || e == TN_ENC_q2g128 ||
           e == TN_ENC_ptq1 || e == TN_ENC_r64 || e == TN_ENC_b64 || e == TN_ENC_b80;
}
bool tn_enc_is_float(TnEnc e) {
    return e == TN_ENC_f32 || e == TN_ENC_f16 || e == TN_ENC_bf16;
}
bool tn_enc_is_blocks(TnEnc e) {
    return tn_encs[e].kind == TN_STORED && !tn_enc_is_ternary(e);
}
bool tn_enc_is_kcache(TnEnc e) {
    return e == TN_ENC_kc || e == TN_ENC_kc_f32 || e == TN_ENC_kc_f16 || e == TN_ENC_kc_i8;
}
bool tn_enc_is_vcache(TnEnc e) {
    return e == TN_ENC_vc || e == TN_ENC_vc_f32 || e == TN_ENC_vc_f16 || e == TN_ENC_vc_i8;
}

const char *const tn_kv_names[TN_KV_COUNT] = {"any",
#define TN_KV_NAME(id, number, name, ...) [number] = (name),
                                              TN_KVS(TN_KV_NAME)
#undef TN_KV_NAME
};

TnEnc tn_kv_enc(TnKv kv, bool key) {
    static const TnEnc keys[TN_KV_COUNT] = {TN_ENC_kc, TN_ENC_kc_f16, TN_ENC_kc_f32, TN_ENC_kc_i8},
                       values[TN_KV_COUNT] = {TN_ENC_vc, TN_ENC_vc_f16, TN_ENC_vc_f32, TN_ENC_vc_i8};
    return (key ? keys : values)[kv];
}
