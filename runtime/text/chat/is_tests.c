/* The tests after `is`. */
#include "jinja.h"

static bool iterable(TnVal v) {
    return v.kind == JV_LIST || v.kind == JV_TUPLE || v.kind == JV_MAP || v.kind == JV_STR ||
           v.kind == JV_UNDEFINED || v.kind == JV_LOOP;
}
static bool sequence(TnVal v) {
    bool list = v.kind == JV_LIST || v.kind == JV_TUPLE;
    if (list) return v.list->kind == JL_PLAIN || v.list->kind == JL_RANGE;
    return v.kind == JV_MAP || v.kind == JV_STR || v.kind == JV_UNDEFINED;
}
static bool callable(TnVal v) {
    return v.kind == JV_MACRO || v.kind == JV_LOOP || v.kind == JV_FUNC || v.kind == JV_METHOD ||
           v.kind == JV_JOINER || v.kind == JV_UNDEFINED;
}
static const char *const of_one[] = {"defined",  "undefined", "none",   "boolean", "true",    "false",
                                     "integer",  "float",     "number", "string",  "mapping", "iterable",
                                     "sequence", "callable",  "odd",    "even",    "lower",   "upper",
                                     "escaped",  "filter",    "test"};
/* The numbers are those of the names. */
static bool one(TnJinja *j, size_t which, TnVal v) {
    bool whole = v.kind == JV_INT || v.kind == JV_BOOL;
    switch (which) {
    case 0:
        return v.kind != JV_UNDEFINED;
    case 1:
        return v.kind == JV_UNDEFINED;
    case 2:
        return v.kind == JV_NONE;
    case 3:
        return v.kind == JV_BOOL;
    case 4:
    case 5:
        return v.kind == JV_BOOL && v.i == (which == 4);
    case 6:
        return v.kind == JV_INT;
    case 7:
        return v.kind == JV_FLOAT;
    case 8:
        return whole || v.kind == JV_FLOAT;
    case 9:
        return v.kind == JV_STR;
    case 10:
        return v.kind == JV_MAP;
    case 11:
        return iterable(v);
    case 12:
        return sequence(v);
    case 13:
        return callable(v);
    case 14:
    case 15:
        v = tn_j_binary(j, TN_LIT("%"), v, tn_j_int(2));
        return tn_j_equal(j, v, tn_j_int(which == 14));
    case 16:
    case 17:
        return tn_j_is_cased(j, tn_j_string(j, v).s, which == 16 ? JC_LOWER : JC_UPPER);
    case 18:
        return v.kind == JV_STR && v.safe;
    case 19:
        return v.kind == JV_STR && tn_j_filter_known(v.s);
    default:
        return v.kind == JV_STR && tn_j_test_known(v.s);
    }
}
typedef enum Order { EQ, NE, LT, LE, GT, GE, IN, SAMEAS, DIVISIBLE } Order;
static const struct {
    const char *name;
    Order order;
} of_two[] = {{"eq", EQ},          {"equalto", EQ},    {"==", EQ},
              {"ne", NE},          {"!=", NE},         {"lt", LT},
              {"<", LT},           {"lessthan", LT},   {"le", LE},
              {"<=", LE},          {"gt", GT},         {">", GT},
              {"greaterthan", GT}, {"ge", GE},         {">=", GE},
              {"in", IN},          {"sameas", SAMEAS}, {"divisibleby", DIVISIBLE}};

static bool same_object(TnJinja *j, TnVal a, TnVal b) {
    if (a.kind != b.kind) return false;
    if (a.kind == JV_STR || a.kind == JV_INT || a.kind == JV_FLOAT || a.kind == JV_UNDEFINED ||
        a.kind == JV_TUPLE)
        tn_j_fail(j, "sameas of a '%s' is not supported", tn_j_type(a));
    return a.kind == JV_NONE || (a.kind == JV_BOOL ? a.i == b.i : a.list == b.list);
}
static bool two(TnJinja *j, Order order, TnVal a, TnVal b) {
    int c;
    switch (order) {
    case EQ:
        return tn_j_equal(j, a, b);
    case NE:
        return !tn_j_equal(j, a, b);
    case IN:
        return tn_j_contains(j, a, b);
    case SAMEAS:
        return same_object(j, a, b);
    case DIVISIBLE:
        return tn_j_equal(j, tn_j_binary(j, TN_LIT("%"), a, b), tn_j_int(0));
    default:
        c = tn_j_order(j, a, b);
        if (c == 2) return false;
        return order == LT ? c < 0 : order == LE ? c <= 0 : order == GT ? c > 0 : c >= 0;
    }
}
bool tn_j_test_known(TnStr name) {
    for (size_t i = 0; i < TN_COUNT(of_one); i++)
        if (tn_j_same(name, of_one[i])) return true;
    for (size_t i = 0; i < TN_COUNT(of_two); i++)
        if (tn_j_same(name, of_two[i].name)) return true;
    return false;
}
bool tn_j_test(TnJinja *j, TnStr name, TnVal v, const TnArgs *args) {
    TnVal other[1];
    for (size_t i = 0; i < TN_COUNT(of_one); i++) {
        if (!tn_j_same(name, of_one[i])) continue;
        tn_j_positional(j, of_one[i], args, 0, 0, NULL);
        return one(j, i, v);
    }
    for (size_t i = 0; i < TN_COUNT(of_two); i++) {
        if (!tn_j_same(name, of_two[i].name)) continue;
        tn_j_positional(j, of_two[i].name, args, 1, 1, other);
        return two(j, of_two[i].order, v, other[0]);
    }
    tn_j_fail(j, "No test named '%.*s'.", (int)(name.n < 60 ? name.n : 60), name.p);
}
