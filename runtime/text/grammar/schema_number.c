/* Integers within bounds, digit by digit, and numbers within bounds.
 *
 * The numbers from a to b with the same count of digits are: a common beginning; then the first digit where they differ,
 * with the rest of a or more, or the rest of b or less, and in between any digits. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/text/grammar/schema.h"

#define SIXTEEN_NINES  9999999999999999
#define EIGHTEEN_NINES 999999999999999999
#define EXACT_MOST     9007199254740991 /* every integer up to this is a double */
#define PLACES_MOST    1000000000       /* below this, six digits after the point are exact too */

typedef struct Bounds {
    int64_t lo, hi; /* the lowest and the highest integer */
    bool has_lo, has_hi;
    bool above, below; /* a number must be above lo, below hi */
} Bounds;

/* ---- Digits */

static void put_range(char lo, char hi, TnBuf *out) {
    if (lo == hi)
        tn_buf_printf(out, "\"%c\"", lo);
    else
        tn_buf_printf(out, "[%c-%c]", lo, hi);
}
static void put_any(size_t n, TnBuf *out) {
    if (n == 1)
        tn_buf_puts(out, " [0-9]");
    else if (n > 1)
        tn_buf_printf(out, " [0-9]{%zu}", n);
}

static bool all(const char *v, size_t n, char c) {
    for (size_t i = 0; i < n; i++)
        if (v[i] != c) return false;
    return true;
}

/* All runs of n digits from a to b, in parentheses if there is a choice. */
static void put_digits(const char *a, const char *b, size_t n, TnBuf *out) {
    static const char zeros[] = "0000000000000000000", nines[] = "9999999999999999999";
    size_t same = 0;
    while (same < n && a[same] == b[same]) same++;
    if (same) tn_buf_printf(out, "\"%.*s\"", (int)same, a);
    a += same, b += same, n -= same;
    if (n == 0) return;
    if (same) tn_buf_puts(out, " ");
    bool low = !all(a + 1, n - 1, '0'), high = !all(b + 1, n - 1, '9');
    char lo = (char)(a[0] + low), hi = (char)(b[0] - high);
    if (low || high) tn_buf_puts(out, "(");
    if (low) {
        tn_buf_printf(out, "\"%c\" ", a[0]);
        put_digits(a + 1, nines, n - 1, out);
    }
    if (lo <= hi) {
        if (low) tn_buf_puts(out, " | ");
        put_range(lo, hi, out);
        put_any(n - 1, out);
    }
    if (high) {
        tn_buf_printf(out, "%s\"%c\" ", low || lo <= hi ? " | " : "", b[0]);
        put_digits(zeros, b + 1, n - 1, out);
    }
    if (low || high) tn_buf_puts(out, ")");
}

/* The numbers from a to b without a sign, 0 <= a <= b, by their count of digits. */
static void put_from_to(uint64_t a, uint64_t b, TnBuf *out) {
    char from[24], to[24];
    uint64_t end = 9;
    tn_buf_puts(out, "(");
    for (bool first = true; a <= b; first = false) {
        while (end < a) end = end * 10 + 9;
        uint64_t last = b < end ? b : end;
        snprintf(from, sizeof from, "%llu", (unsigned long long)a);
        snprintf(to, sizeof to, "%llu", (unsigned long long)last);
        if (!first) tn_buf_puts(out, " | ");
        put_digits(from, to, strlen(from), out);
        a = last + 1;
    }
    tn_buf_puts(out, ")");
}

static void put_integers(int64_t lo, int64_t hi, TnBuf *out) {
    if (lo < 0) {
        tn_buf_puts(out, "\"-\" ");
        put_from_to(hi < 0 ? (uint64_t)-hi : 1, (uint64_t)-lo, out);
    }
    if (hi < 0) return;
    if (lo < 0) tn_buf_puts(out, " | ");
    put_from_to(lo > 0 ? (uint64_t)lo : 0, (uint64_t)hi, out);
}

/* ---- Bounds */

/* The bound that a keyword says, as an integer: up for a minimum, down for a maximum. *out_past: the bound itself is out. */
static TernStatus read_bound(TnSchemas *s, const TnSchemaJob *job, const TnJsonNode *schema, bool upper,
                             bool exclusive, bool *out_any, int64_t *out, bool *out_past) {
    static const char *const words[2][2] = {{"minimum", "exclusiveMinimum"}, {"maximum", "exclusiveMaximum"}};
    const char *word = words[upper][exclusive];
    const TnJsonNode *v = tn_json_member(schema, word);
    *out_any = v != NULL;
    if (!v) return TERN_OK;
    const TnSchemaPath *path = tn_schema_path(s, job->path, word, NULL, 0);
    if (v->kind != TN_JSON_INT && v->kind != TN_JSON_REAL) return tn_schema_wrong(s, path, v, "a number");
    double x = strtod(v->text, NULL);
    int64_t n = v->kind == TN_JSON_INT ? strtoll(v->text, NULL, 10) : 0;
    bool fits = v->kind == TN_JSON_INT ? n >= -EIGHTEEN_NINES && n <= EIGHTEEN_NINES
                                       : fabs(x) < (double)EIGHTEEN_NINES;
    if (!fits) return tn_schema_refuse(s, path, "got %s, expected a bound of at most 18 digits", v->text);
    double whole = upper ? floor(x) : ceil(x);
    *out = v->kind == TN_JSON_INT ? n : (int64_t)whole;
    *out_past = exclusive && whole == x;
    return TERN_OK;
}

static TernStatus read_bounds(TnSchemas *s, const TnSchemaJob *job, const TnJsonNode *schema, Bounds *out) {
    *out = (Bounds){0};
    for (int exclusive = 0; exclusive < 2; exclusive++) {
        int64_t v = 0;
        bool any, past = false;
        TN_TRY(read_bound(s, job, schema, false, exclusive, &any, &v, &past));
        if (any && (!out->has_lo || v > out->lo || (v == out->lo && past))) out->lo = v, out->above = past;
        out->has_lo |= any;
        past = false;
        TN_TRY(read_bound(s, job, schema, true, exclusive, &any, &v, &past));
        if (any && (!out->has_hi || v < out->hi || (v == out->hi && past))) out->hi = v, out->below = past;
        out->has_hi |= any;
    }
    return TERN_OK;
}

/* Where there is no bound: as many digits as usual, or as the other bound needs. */
static void default_bounds(Bounds *b, int64_t usual, int64_t most) {
    if (!b->has_lo) b->lo = b->hi < -usual ? -most : -usual;
    if (!b->has_hi) b->hi = b->lo > usual ? most : usual;
}

/* Whether there are numbers within the bounds for which six digits after the point are too many. */
static bool is_far(const Bounds *b) {
    if (b->lo > PLACES_MOST || b->lo < -PLACES_MOST || b->hi > PLACES_MOST || b->hi < -PLACES_MOST)
        return true;
    return (!b->has_hi && b->lo == PLACES_MOST) || (!b->has_lo && b->hi == -PLACES_MOST);
}

/* ---- Numbers with a fraction */

/* N.D for n from `from` to `to`; of the lowest, if `not_whole`, only with a fraction that is not 0. */
static void put_fractions(int64_t from, int64_t to, bool not_whole, TnBuf *out, bool *any) {
    if (from > to) return;
    if (not_whole) {
        tn_buf_printf(out, "%s\"%lld.\" [0-9]{0,5} [1-9]", *any ? " | " : "", (long long)from);
        *any = true;
        from++;
    }
    if (from > to) return;
    if (*any) tn_buf_puts(out, " | ");
    put_from_to((uint64_t)from, (uint64_t)to, out);
    tn_buf_puts(out, " \".\" [0-9]{1,6}");
    *any = true;
}

/* The numbers x with lo <= x <= hi, as integers and as N.D for the N such that N and N + 1 are within the bounds. On the
 * other side of 0 the bounds are those of -x. */
static void put_numbers(const Bounds *b, TnBuf *out, bool *any) {
    int64_t lo = b->lo + b->above, hi = b->hi - b->below;
    if (lo <= hi) {
        put_integers(lo, hi, out);
        *any = true;
    }
    if (b->hi > 0) {
        int64_t from = b->lo > 0 ? b->lo : 0;
        put_fractions(from, b->hi - 1, b->above && from == b->lo, out, any);
    }
    if (b->lo < 0) {
        TnBuf half = {0};
        int64_t from = b->hi < 0 ? -b->hi : 0;
        bool some = false;
        put_fractions(from, -b->lo - 1, b->below && from == -b->hi, &half, &some);
        if (some) tn_buf_printf(out, "%s\"-\" (%.*s)", *any ? " | " : "", (int)half.len, half.data);
        *any = *any || some;
        tn_buf_free(&half);
    }
}

TernStatus tn_schema_number(TnSchemas *s, const TnSchemaJob *job, const TnJsonNode *schema, bool integer,
                            TnBuf *body) {
    Bounds b;
    const TnJsonNode *multiple = tn_json_member(schema, "multipleOf");
    if (multiple && !(integer && multiple->kind == TN_JSON_INT && strcmp(multiple->text, "1") == 0))
        return tn_schema_refuse(s, tn_schema_path(s, job->path, "multipleOf", NULL, 0), "is not supported");
    TN_TRY(read_bounds(s, job, schema, &b));
    if (!b.has_lo && !b.has_hi) {
        tn_buf_puts(body, tn_schema_common(s, integer ? TN_COMMON_INTEGER : TN_COMMON_NUMBER));
        return TERN_OK;
    }
    bool far = is_far(&b), any = false;
    if (integer)
        default_bounds(&b, SIXTEEN_NINES, EIGHTEEN_NINES);
    else if (far)
        default_bounds(&b, EXACT_MOST, EIGHTEEN_NINES);
    else
        default_bounds(&b, PLACES_MOST, PLACES_MOST);
    if (integer || far) {
        int64_t lo = b.lo + b.above, hi = b.hi - b.below;
        any = lo <= hi;
        if (any) put_integers(lo, hi, body);
    } else {
        put_numbers(&b, body, &any);
    }
    if (any) return TERN_OK;
    return tn_schema_refuse(s, job->path, "no %s is written here that is within the bounds",
                            integer ? "integer" : "number");
}
