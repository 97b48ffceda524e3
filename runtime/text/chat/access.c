/* Attributes, items, slices, membership and arithmetic. */
#include <math.h>
#include "jinja.h"

static TnVal method_of(TnJinja *j, TnVal v, TnStr name) {
    TnVal m = {.kind = JV_METHOD, .s = name};
    m.self = tn_j_alloc(j, 1, sizeof v);
    *m.self = v;
    return m;
}
void tn_j_no_part(TnJinja *j, TnVal v) {
    tn_j_fail(j, "'%.*s' is undefined", (int)v.s.n, v.s.p);
}
static TnVal loop_attr(TnJinja *j, TnLoop *l, TnVal v, TnStr name) {
    size_t at = l->at, n = l->items->n;
    if (tn_j_same(name, "index")) return tn_j_int((int64_t)at + 1);
    if (tn_j_same(name, "index0")) return tn_j_int((int64_t)at);
    if (tn_j_same(name, "revindex")) return tn_j_int((int64_t)(n - at));
    if (tn_j_same(name, "revindex0")) return tn_j_int((int64_t)(n - at) - 1);
    if (tn_j_same(name, "first")) return tn_j_bool(at == 0);
    if (tn_j_same(name, "last")) return tn_j_bool(at + 1 == n);
    if (tn_j_same(name, "length")) return tn_j_int((int64_t)n);
    if (tn_j_same(name, "depth")) return tn_j_int((int64_t)l->depth);
    if (tn_j_same(name, "depth0")) return tn_j_int((int64_t)l->depth - 1);
    if (tn_j_same(name, "previtem")) return at ? l->items->v[at - 1] : tn_j_undefined(name);
    if (tn_j_same(name, "nextitem")) return at + 1 < n ? l->items->v[at + 1] : tn_j_undefined(name);
    if (tn_j_same(name, "cycle") || tn_j_same(name, "changed")) return method_of(j, v, name);
    return tn_j_undefined(name);
}
TnVal tn_j_attr(TnJinja *j, TnVal v, TnStr name) {
    TnVal *item, key = tn_j_of(name);
    if (v.kind == JV_UNDEFINED) tn_j_no_part(j, v);
    if (v.kind == JV_LOOP) return loop_attr(j, v.loop, v, name);
    if (v.kind == JV_CYCLER && tn_j_same(name, "current")) return v.list->v[v.list->at];
    if (tn_j_has_method(v, name)) return method_of(j, v, name);
    if ((v.kind == JV_MAP || v.kind == JV_NAMESPACE) && (item = tn_j_get(j, v.map, key))) return *item;
    if (v.kind == JV_TUPLE && v.list->group && tn_j_same(name, "grouper")) return v.list->v[0];
    if (v.kind == JV_TUPLE && v.list->group && tn_j_same(name, "list")) return v.list->v[1];
    if (v.kind == JV_MACRO && tn_j_same(name, "name"))
        return v.macro->node->kind == JN_MACRO ? tn_j_of(v.macro->node->s) : (TnVal){.kind = JV_NONE};
    return tn_j_undefined(name);
}
TnVal tn_j_item(TnJinja *j, TnVal v, TnVal key) {
    TnVal *item;
    if (v.kind == JV_UNDEFINED) tn_j_no_part(j, v);
    if (v.kind == JV_MAP && tn_j_hashable(key) && (item = tn_j_get(j, v.map, key))) return *item;
    if (key.kind == JV_STR) return tn_j_attr(j, v, key.s);
    if (key.kind != JV_INT && key.kind != JV_BOOL) return tn_j_undefined(TN_LIT("item"));
    bool text = v.kind == JV_STR, list = (v.kind == JV_LIST || v.kind == JV_TUPLE) &&
                                         (v.list->kind == JL_PLAIN || v.list->kind == JL_RANGE);
    if (text || list) {
        int64_t n = (int64_t)tn_j_length(j, v), at = key.i < 0 ? key.i + n : key.i;
        if (at < 0 || at >= n) return tn_j_undefined(TN_LIT("item"));
        if (list) return v.list->v[at];
        TnStr c = tn_j_char_range(v.s, (size_t)at, (size_t)at + 1);
        return tn_j_of(c);
    }
    return tn_j_undefined(TN_LIT("item"));
}
static int64_t bound(TnJinja *j, TnVal v, int64_t n, int64_t otherwise, int64_t step) {
    if (v.kind == JV_NONE) return otherwise;
    if (v.kind != JV_INT && v.kind != JV_BOOL) tn_j_fail(j, "slice indices must be integers or None");
    int64_t i = v.i < 0 ? v.i + n : v.i;
    if (i < 0) return step < 0 ? -1 : 0;
    return i >= n ? (step < 0 ? n - 1 : n) : i;
}
TnVal tn_j_slice(TnJinja *j, TnVal v, TnVal from, TnVal to, TnVal by) {
    bool list =
        (v.kind == JV_LIST || v.kind == JV_TUPLE) && (v.list->kind == JL_PLAIN || v.list->kind == JL_RANGE);
    if (v.kind == JV_UNDEFINED) tn_j_no_part(j, v);
    if (v.kind != JV_STR && !list) tn_j_fail(j, "'%s' cannot be sliced", tn_j_type(v));
    int64_t n = (int64_t)tn_j_length(j, v), step = by.kind == JV_NONE ? 1 : by.i;
    if (by.kind != JV_NONE && by.kind != JV_INT && by.kind != JV_BOOL)
        tn_j_fail(j, "slice indices must be integers or None");
    if (step == 0) tn_j_fail(j, "slice step cannot be zero");
    int64_t a = bound(j, from, n, step < 0 ? n - 1 : 0, step), b = bound(j, to, n, step < 0 ? -1 : n, step);
    if (v.kind == JV_STR && step == 1) {
        TnStr s = tn_j_char_range(v.s, (size_t)a, b > a ? (size_t)b : (size_t)a);
        return tn_j_of(s);
    }
    TnList *items = tn_j_iterate(j, v);
    TnVal out = tn_j_list(j, v.kind == JV_TUPLE ? JV_TUPLE : JV_LIST);
    if (v.kind != JV_STR) out.list->kind = v.list->kind; /* a part of a range is a range */
    for (int64_t i = a; step > 0 ? i < b : i > b;) {
        tn_j_add(j, out.list, items->v[i]);
        if (__builtin_add_overflow(i, step, &i)) break;
    }
    if (v.kind != JV_STR) return out;
    TnOut *text = tn_j_open(j);
    for (size_t i = 0; i < out.list->n; i++) tn_o_put(text, out.list->v[i].s);
    return tn_j_close(text);
}
bool tn_j_contains(TnJinja *j, TnVal item, TnVal in) {
    if (in.kind == JV_STR) {
        if (item.kind != JV_STR)
            tn_j_fail(j, "'in <string>' requires string as left operand, not %s", tn_j_type(item));
        tn_j_step(j, in.s.n / 64);
        return item.s.n == 0 || memmem(in.s.p, in.s.n, item.s.p, item.s.n) != NULL;
    }
    if (in.kind == JV_MAP) return tn_j_get(j, in.map, item) != NULL;
    TnList *items = tn_j_iterate(j, in);
    for (size_t i = 0; i < items->n; i++)
        if (tn_j_equal(j, items->v[i], item)) return true;
    return false;
}
static TnVal joined(TnJinja *j, TnVal a, TnVal b) {
    if (a.kind == JV_STR) {
        TnOut *t = tn_j_open(j);
        tn_o_put(t, a.s);
        tn_o_put(t, b.s);
        return tn_j_close(t);
    }
    TnVal out = tn_j_list(j, a.kind);
    for (size_t i = 0; i < a.list->n; i++) tn_j_add(j, out.list, a.list->v[i]);
    for (size_t i = 0; i < b.list->n; i++) tn_j_add(j, out.list, b.list->v[i]);
    return out;
}
static TnVal repeated(TnJinja *j, TnVal a, int64_t n) {
    size_t each = a.kind == JV_STR ? a.s.n : a.list->n;
    TnVal out = a.kind == JV_STR ? tn_j_of(TN_LIT("")) : tn_j_list(j, a.kind);
    if (n <= 0 || !each) return out;
    if ((uint64_t)n > j->max_output / each) tn_j_fail(j, "a repetition is too long");
    if (a.kind == JV_STR) {
        TnOut *o = tn_j_open(j);
        for (int64_t i = 0; i < n; i++) tn_o_put(o, a.s);
        tn_j_step(j, (uint64_t)n);
        return tn_j_close(o);
    }
    for (int64_t i = 0; i < n; i++)
        for (size_t k = 0; k < each; k++) tn_j_add(j, out.list, a.list->v[k]);
    return out;
}
static TnVal integers(TnJinja *j, TnStr op, int64_t a, int64_t b) {
    int64_t r = 0;
    bool over = false;
    if (tn_j_same(op, "+"))
        over = __builtin_add_overflow(a, b, &r);
    else if (tn_j_same(op, "-"))
        over = __builtin_sub_overflow(a, b, &r);
    else if (tn_j_same(op, "*"))
        over = __builtin_mul_overflow(a, b, &r);
    else if (tn_j_same(op, "**")) {
        if (b < 0 && a == 0) tn_j_fail(j, "0.0 cannot be raised to a negative power");
        if (b < 0) return (TnVal){.kind = JV_FLOAT, .f = pow((double)a, (double)b)};
        for (r = 1; b > 0 && !over && !((a == 0 || a == 1) && r == a); b--) {
            if (a == -1) return tn_j_int(b % 2 ? -r : r);
            over = __builtin_mul_overflow(r, a, &r);
        }
    } else {
        if (b == 0) tn_j_fail(j, "integer division or modulo by zero");
        if (b == -1)
            over = a == INT64_MIN, r = over ? 0 : tn_j_same(op, "%") ? 0 : -a;
        else if (tn_j_same(op, "%"))
            r = a % b, r += r && (r < 0) != (b < 0) ? b : 0;
        else
            r = a / b - (a % b && (a < 0) != (b < 0));
    }
    if (over) tn_j_fail(j, "an integer beyond 64 bits");
    return tn_j_int(r);
}
static double reals(TnJinja *j, TnStr op, double a, double b) {
    if (tn_j_same(op, "+")) return a + b;
    if (tn_j_same(op, "-")) return a - b;
    if (tn_j_same(op, "*")) return a * b;
    if (tn_j_same(op, "**")) {
        double r = pow(a, b);
        if (a == 0 && b < 0) tn_j_fail(j, "0.0 cannot be raised to a negative power");
        if (isnan(r) && !isnan(a) && !isnan(b)) tn_j_fail(j, "a complex number is not supported");
        if (isfinite(a) && isfinite(b) && !isfinite(r)) tn_j_fail(j, "the result of ** is too large");
        return r;
    }
    if (b == 0) tn_j_fail(j, "division by zero");
    if (tn_j_same(op, "/")) return a / b;
    double mod = fmod(a, b);
    if (mod != 0 && (b < 0) != (mod < 0))
        mod += b;
    else if (mod == 0)
        mod = copysign(0, b);
    return tn_j_same(op, "%") ? mod : round((a - mod) / b);
}
TnVal tn_j_binary(TnJinja *j, TnStr op, TnVal a, TnVal b) {
    double x, y;
    bool whole_a = a.kind == JV_INT || a.kind == JV_BOOL, whole_b = b.kind == JV_INT || b.kind == JV_BOOL;
    bool row_a = a.kind == JV_STR || ((a.kind == JV_LIST || a.kind == JV_TUPLE) && a.list->kind == JL_PLAIN);
    bool row_b = b.kind == JV_STR || ((b.kind == JV_LIST || b.kind == JV_TUPLE) && b.list->kind == JL_PLAIN);
    if (a.kind == JV_UNDEFINED) tn_j_no_part(j, a);
    if ((a.kind == JV_STR && a.safe) || (b.kind == JV_STR && b.safe))
        tn_j_fail(j, "changing a text that is marked safe is not supported");
    if (whole_a && whole_b && !tn_j_same(op, "/")) return integers(j, op, a.i, b.i);
    if (tn_j_number(a, &x) && tn_j_number(b, &y)) return (TnVal){.kind = JV_FLOAT, .f = reals(j, op, x, y)};
    if (tn_j_same(op, "+") && row_a && row_b && a.kind == b.kind) return joined(j, a, b);
    if (tn_j_same(op, "*") && row_a && whole_b) return repeated(j, a, b.i);
    if (tn_j_same(op, "*") && row_b && whole_a) return repeated(j, b, a.i);
    if (tn_j_same(op, "%") && a.kind == JV_STR) return tn_j_format(j, a, b);
    if (b.kind == JV_UNDEFINED) tn_j_no_part(j, b);
    tn_j_fail(j, "unsupported operand types for %.*s: '%s' and '%s'", (int)op.n, op.p, tn_j_type(a),
              tn_j_type(b));
}
