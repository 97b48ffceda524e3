/* Upper case, lower case and titles, as Python's str has them. */
#include "case_table.h"
#include "jinja.h"

uint32_t tn_j_point(TnStr s, size_t at, size_t *end) {
    unsigned char c = (unsigned char)s.p[at];
    uint32_t point = c < 0x80 ? c : c < 0xe0 ? c & 31 : c < 0xf0 ? c & 15 : c & 7;
    for (*end = at + 1; *end < s.n && (s.p[*end] & 0xc0) == 0x80; ++*end)
        point = point << 6 | (uint32_t)(s.p[*end] & 63);
    return point;
}
static uint32_t moved(const Range *table, size_t n, uint32_t c) {
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (table[middle].last < c)
            low = middle + 1;
        else
            high = middle;
    }
    const Range *r = &table[low < n ? low : n - 1];
    bool inside = c >= r->first && c <= r->last && (c - r->first) % (uint32_t)r->stride == 0;
    return inside ? (uint32_t)((int64_t)c + r->delta) : c;
}
static uint32_t lower_of(uint32_t c) {
    if (c < 0x80) return c >= 'A' && c <= 'Z' ? c + 32 : c;
    return moved(lower_ranges, TN_COUNT(lower_ranges), c);
}
static uint32_t upper_of(uint32_t c) {
    if (c < 0x80) return c >= 'a' && c <= 'z' ? c - 32 : c;
    return moved(upper_ranges, TN_COUNT(upper_ranges), c);
}
static const Special *special_of(const Special *table, size_t n, uint32_t c) {
    for (size_t i = 0; i < n; i++)
        if (table[i].from == c) return &table[i];
    return NULL;
}
/* Georgian has capitals that titles do not use. */
static bool no_title(uint32_t c) {
    return (c >= 0x10d0 && c <= 0x10fa) || (c >= 0x10fd && c <= 0x10ff);
}
static void put(TnOut *o, uint32_t c, uint8_t mark) {
    char t[4];
    tn_o_bytes(o, t, tn_j_utf8(c, t), mark);
}
static void put_upper(TnOut *o, uint32_t c, uint8_t mark, bool title) {
    const Special *s = NULL;
    if (c >= 0x80 && title) s = special_of(title_special, TN_COUNT(title_special), c);
    if (c >= 0x80 && !s) s = special_of(upper_special, TN_COUNT(upper_special), c);
    if (!s) {
        put(o, title && no_title(c) ? c : upper_of(c), mark);
        return;
    }
    for (int k = 0; k < 3 && s->to[k]; k++) put(o, s->to[k], mark);
}
static bool is_cased(uint32_t c) {
    return lower_of(c) != c || upper_of(c) != c || special_of(upper_special, TN_COUNT(upper_special), c);
}
/* Sigma at the end of a word has a form of its own. What Unicode lets stand between is taken to be ' . : and the like. */
static bool ignorable(uint32_t c) {
    return c == '\'' || c == '.' || c == ':' || c == '^' || c == '`' || c == 0xa8 || c == 0xad || c == 0xaf ||
           c == 0xb4 || c == 0xb7 || c == 0xb8 || (c >= 0x2b0 && c <= 0x36f) || c == 0x2018 || c == 0x2019;
}
static bool final_sigma(TnStr s, size_t at, size_t end) {
    bool before = false;
    for (size_t i = at, k; i > 0;) {
        do i--;
        while (i > 0 && (s.p[i] & 0xc0) == 0x80);
        uint32_t c = tn_j_point(s, i, &k);
        before = is_cased(c);
        if (!ignorable(c)) break;
        before = false;
    }
    if (!before) return false;
    for (size_t i = end, k; i < s.n; i = k) {
        uint32_t c = tn_j_point(s, i, &k);
        if (!ignorable(c)) return !is_cased(c);
    }
    return true;
}
static void put_lower(TnOut *o, TnStr s, size_t at, size_t end, uint32_t c, uint8_t mark) {
    if (c == 0x3a3) {
        put(o, final_sigma(s, at, end) ? 0x3c2 : 0x3c3, mark);
    } else if (c == 0x130) {
        put(o, 'i', mark), put(o, 0x307, mark);
    } else {
        put(o, lower_of(c), mark);
    }
}
TnStr tn_j_cased(TnJinja *j, TnStr s, TnCase how) {
    TnOut *o = tn_j_open(j);
    bool word = false;
    tn_j_step(j, 1 + s.n / 32);
    for (size_t i = 0, end; i < s.n; i = end) {
        uint32_t c = tn_j_point(s, i, &end);
        uint8_t mark = s.m ? s.m[i] : 0;
        if (how == JC_UPPER)
            put_upper(o, c, mark, false);
        else if ((how == JC_CAPITALIZE && i == 0) || (how == JC_TITLE && !word))
            put_upper(o, c, mark, true);
        else
            put_lower(o, s, i, end, c, mark);
        word = is_cased(c);
    }
    return tn_j_close(o).s;
}
bool tn_j_is_cased(TnJinja *j, TnStr s, TnCase how) {
    bool any = false;
    tn_j_step(j, 1 + s.n / 32);
    for (size_t i = 0, end; i < s.n; i = end) {
        uint32_t c = tn_j_point(s, i, &end);
        if (!is_cased(c)) continue;
        bool low = lower_of(c) == c && c != 0x130, up = upper_of(c) == c && low == false;
        if (how == JC_LOWER ? !low : !up) return false;
        any = true;
    }
    return any;
}
