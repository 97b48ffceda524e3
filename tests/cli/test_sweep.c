/* Gives graphs as text, most of them damaged, to every call that takes one. Each call must end with a status
 * and a line, none with a crash, a failed TN_CHECK or a hang.
 *
 * A case is a number. From it stem a text (an example of docs/ir.md, a golden of the passes, or the graph of
 * a small model), what passes make of it, what is changed in it (a number, an operand, an attribute, a dim, a
 * kernel's bounds ..; types that follow from the change are put right, so that more than the first check is
 * reached), and what is done with it: passes in some order for some level and batch class, an evaluation, a
 * run on random inputs, a comparison, a picture, or code and a step of the model with that graph in place of
 * its own.
 *
 *   cli_sweep              the cases of the test
 *   cli_sweep FROM COUNT   others
 *   cli_sweep show NUMBER  one case: its texts and calls */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <glob.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cli/native.h"
#include "frontends/api/ternc_tools.h"
#include "runtime/base/buf.h"
#include "runtime/base/os.h"
#include "runtime/base/status.h"
#include "support/gguf_model.h"
#include "support/hang.h"
#include "support/sanitized.h"

enum { BATCH = 64, TEXTS_MAX = 400, LINES_MAX = 1200, REPAIRS = 12, TRIES = 6 };

/* ASan: an allocation that is too large is refused as malloc would, not reported. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1:max_allocation_size_mb=1024";
}

typedef struct Sweep {
    char *text[TEXTS_MAX];
    size_t n;
    char dir[64], a[96], b[96], out[96], model[96];
    bool show;
} Sweep;

/* What the child was doing, for when it ends. */
typedef struct Now {
    uint64_t seed, calls, accepted, changed, sound; /* changed: texts; sound: those that verify */
    char what[400];
} Now;
static Now *now;

static uint64_t next(uint64_t *s) { /* splitmix64 */
    uint64_t z = *s += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}
static size_t pick(uint64_t *s, size_t n) {
    return (size_t)(next(s) % n);
}

static void write_text(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    if (!f || fputs(text, f) < 0 || fclose(f)) abort();
}

typedef struct Got {
    TnBuf result, faults;
} Got;
static void take(void *user, const char *what, const char *text, size_t n) {
    Got *g = user;
    TnBuf *to = strcmp(what, "result") == 0 ? &g->result : strcmp(what, "faults") == 0 ? &g->faults : NULL;
    if (!to) return;
    tn_buf_put(to, text, n);
    tn_buf_puts(to, "");
}
static void got_free(Got *g) {
    tn_buf_free(&g->result);
    tn_buf_free(&g->faults);
}

/* ---- changing a text */

typedef struct Words {
    char **line;
    size_t n;
} Words;

static const char name_chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.";

/* The n-th place where one of the characters begins a word, or NULL. */
typedef struct Span {
    char *at;
    size_t n;
} Span;
static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
static bool in_name(char c) {
    return c && strchr(name_chars, c);
}
/* Kinds of word: d a decimal number, x a float in hex, D a symbol among dims, % a name with its sigil, o an
 * op. */
static Span find_word(char *text, char kind, uint64_t *s) {
    Span found = {NULL, 0};
    size_t seen = 0;
    for (char *p = text; *p; p++) {
        char before = p > text ? p[-1] : ' ';
        size_t n = 0;
        if (kind == 'd' && is_digit(*p) && !in_name(before) && before != '%' && before != '$' && p[1] != 'x')
            n = strspn(p, "0123456789");
        if (kind == 'x' && *p == '0' && p[1] == 'x' && !in_name(before) && before != '%')
            n = strspn(p, "0123456789abcdefxp.+-");
        if (kind == 'D' && strchr("TRKHSPNL", *p) && (before == '[' || before == ',') &&
            (p[1] == ',' || p[1] == ']'))
            n = 1;
        if (kind == '%' && (*p == '%' || *p == '$') && in_name(p[1])) n = 1 + strspn(p + 1, name_chars);
        if (kind == 'o' && before == ' ' && p - 2 >= text && p[-2] == '=') n = strspn(p, name_chars);
        if (!n) continue;
        if (pick(s, ++seen) == 0) found = (Span){p, n};
        p += n - 1;
    }
    return found;
}

static char *replaced(const char *text, Span at, const char *with, bool everywhere) {
    TnBuf out = {0};
    char word[300];
    snprintf(word, sizeof word, "%.*s", (int)at.n, at.at);
    const char *p = text;
    while (*p) {
        const char *q = everywhere ? strstr(p, word) : at.at;
        if (!q) break;
        bool whole =
            !everywhere || ((q == text || !in_name(q[-1]) || !in_name(word[0])) && !in_name(q[at.n]));
        tn_buf_put(&out, p, (size_t)(q - p));
        if (whole)
            tn_buf_puts(&out, with);
        else
            tn_buf_put(&out, q, at.n);
        p = q + at.n;
        if (!everywhere) break;
    }
    tn_buf_puts(&out, p);
    char *made = strdup(out.data);
    tn_buf_free(&out);
    return made;
}

static const char *some_number(uint64_t *s, Span at, char out[32]) {
    static const char *const numbers[] = {"0",   "1",   "2",   "3",   "4",   "5",   "7",   "8",
                                          "9",   "16",  "31",  "32",  "33",  "48",  "63",  "64",
                                          "65",  "96",  "127", "128", "129", "192", "255", "256",
                                          "257", "300", "512", "513", "768", "1000"};
    static const char *const large[] = {"4096",          "65535",           "65536",
                                        "65537",         "2147483647",      "2147483648",
                                        "4294967295",    "4294967296",      "1099511627776",
                                        "1099511627777", "281474976710656", "9223372036854775807"};
    if (pick(s, 12) == 0) return large[pick(s, TN_COUNT(large))];
    if (pick(s, 3)) return numbers[pick(s, TN_COUNT(numbers))];
    unsigned long long was = strtoull(at.at, NULL, 10);
    was = pick(s, 2) ? was + 1 + 63 * pick(s, 2) : was ? was - 1 : 0;
    snprintf(out, 32, "%llu", was);
    return out;
}

/* Lines as offsets: where line i begins. */
static size_t line_starts(const char *text, size_t start[LINES_MAX]) {
    size_t n = 0;
    for (const char *p = text; *p && n < LINES_MAX - 1; p += strcspn(p, "\n"), p += *p == '\n')
        start[n++] = (size_t)(p - text);
    start[n] = strlen(text);
    return n;
}

/* A line dropped, said twice, moved, or a kernel's border put before it or taken away. */
static char *change_lines(const char *text, uint64_t *s) {
    size_t start[LINES_MAX], n = line_starts(text, start);
    if (n < 3) return strdup(text);
    size_t i = 1 + pick(s, n - 1), j = 1 + pick(s, n - 1), kind = pick(s, 6);
    TnBuf out = {0};
    for (size_t k = 0; k < n; k++) {
        size_t from = k;
        if (kind == 0 && k == i) continue;
        if (kind == 2 && k + 1 < n && k == i) from = k + 1; /* neighbours in the other order */
        if (kind == 2 && k && k == i + 1) from = k - 1;
        if (kind == 3 && k == i) from = j;
        if (kind == 4 && k == i) tn_buf_printf(&out, "end\nkernel @made%zu {root=none}\n", i);
        const char *line = text + start[from];
        size_t length = start[from + 1] - start[from];
        const char *kernel = strstr(line, "kernel @");
        bool border =
            kind == 5 && k >= i && ((kernel && kernel < line + length) || strncmp(line, "  end", 5) == 0);
        if (border && k < i + 8) continue;
        tn_buf_put(&out, line, length);
        if (kind == 1 && k == i) tn_buf_put(&out, line, length);
    }
    tn_buf_puts(&out, "");
    char *made = strdup(out.data);
    tn_buf_free(&out);
    return made;
}

/* One attribute of one line, gone. */
static char *drop_attribute(const char *text, uint64_t *s) {
    const char *found = NULL;
    size_t n = 0, seen = 0;
    for (const char *p = text; *p; p++) {
        if ((*p != '{' && *p != ',') || !p[1] || !strchr(" abcdefghijklmnopqrstuvwxyz", p[1])) continue;
        size_t length = strcspn(p + 1, ",}\n");
        if (!memchr(p + 1, '=', length)) continue;
        if (pick(s, ++seen) == 0) found = p + 1, n = length;
    }
    if (!found) return strdup(text);
    n += found[n] == ',';
    return replaced(text, (Span){(char *)found, n}, "", false);
}

static char *change(char *text, uint64_t *s) {
    static const char *const symbols[] = {"T", "R", "K", "H", "S", "P", "N", "L", "1", "4", "5"};
    static const char *const floats[] = {"0x1p+127", "0x1p-149", "-0x0p+0",     "0x0p+0",
                                         "inf",      "nan",      "-0x1.8p+100", "0x1p-126"};
    static const char *const ops[] = {"add",    "mul",           "mulz",   "relu2",    "silu",   "rmsnorm",
                                      "quant",  "tmatmul",       "matmul", "gather",   "embed",  "argmax",
                                      "topk",   "take",          "rope",   "attend",   "slice",  "dequant",
                                      "limbs",  "attend_blocks", "pack",   "estimate", "rerank", "pick",
                                      "concat", "colmajor",      "random", "output"};
    static const struct {
        const char *from, *to;
    } words[] = {{"stage=model", "stage=fused"},
                 {"stage=fused", "stage=planned"},
                 {"stage=planned", "stage=fused"},
                 {"stage=fused", "stage=model"},
                 {"rows=", "rows=1..1 "},
                 {"level=", "level=amx "},
                 {"kv=f16", "kv=i8"},
                 {"kv=f32", "kv=f16"},
                 {"kc_f16", "kc_i8"},
                 {"axis=cols", "axis=rows"},
                 {"axis=rows", "axis=cols"},
                 {"barrier=1", "barrier=0"},
                 {"target=llvm", "target=ref"},
                 {"target=ref", "target=llvm"},
                 {"target=wide", "target=llvm"},
                 {"target=tall", "target=xsmm"},
                 {"f16[", "bf16["},
                 {"f32[", "f16["},
                 {"t8[", "p64["},
                 {"p64[", "t8["},
                 {"s8[", "s6["},
                 {"f32[", "i32["},
                 {"i32[", "f32["},
                 {"mode=half", "mode=pair"},
                 {"root=none", "root=matmul"},
                 {"root=tmatmul", "root=none"},
                 {"kc[", "kc_f32["},
                 {"vc[", "vc_f32["},
                 {"name=\"pos\"", "name=\"ids\""},
                 {"name=\"slot\"", "name=\"pos\""},
                 {"name=\"rows\"", "name=\"lrows\""}};
    char number[32];
    Span at;
    switch (pick(s, 14)) {
    case 0:
    case 1:
        at = find_word(text, 'd', s);
        return at.n ? replaced(text, at, some_number(s, at, number), false) : strdup(text);
    case 2:
    case 3: /* a number wherever it stands: a dim with all that has it */
        at = find_word(text, 'd', s);
        return at.n ? replaced(text, at, some_number(s, at, number), true) : strdup(text);
    case 4:
        at = find_word(text, 'D', s);
        return at.n ? replaced(text, at, symbols[pick(s, TN_COUNT(symbols))], false) : strdup(text);
    case 5: {
        at = find_word(text, 'x', s);
        return at.n ? replaced(text, at, floats[pick(s, TN_COUNT(floats))], false) : strdup(text);
    }
    case 6:
    case 7:
    case 8: { /* another value, or the same operand twice */
        at = find_word(text, '%', s);
        Span other = find_word(text, '%', s);
        if (!at.n) return strdup(text);
        char name[300];
        snprintf(name, sizeof name, "%.*s", (int)other.n, other.at);
        return replaced(text, at, name, pick(s, 4) == 0);
    }
    case 9:
        return drop_attribute(text, s);
    case 10:
    case 11:
        return change_lines(text, s);
    case 12:
        at = find_word(text, 'o', s);
        return at.n ? replaced(text, at, ops[pick(s, TN_COUNT(ops))], false) : strdup(text);
    default:
        for (int tries = 0; tries < 20; tries++) {
            size_t w = pick(s, TN_COUNT(words));
            at.at = strstr(text, words[w].from);
            if (!at.at) continue;
            at.n = strlen(words[w].from);
            size_t skip = pick(s, 4);
            for (char *q; skip && (q = strstr(at.at + 1, words[w].from)); skip--) at.at = q;
            return replaced(text, at, words[w].to, pick(s, 3) == 0 && strchr("kvt", words[w].from[0]));
        }
        return strdup(text);
    }
}

/* Types that a change made wrong, put right as the messages say they should be. */
static char *repair(const Sweep *w, char *text, bool *ok) {
    *ok = false;
    for (int i = 0; i < REPAIRS; i++) {
        Got got = {{0}, {0}};
        TernError err;
        TerncOpt o = {.size = sizeof o, .path = w->a, .passes = "", .variant = 1};
        write_text(w->a, text);
        TernStatus st = ternc_opt(&o, take, &got, &err);
        const char *why = got.faults.data ? got.faults.data : err.text, *gives = strstr(why, " gives "),
                   *says;
        unsigned line = 0;
        const char *place = strstr(why, "a.tir:");
        char *made = NULL, right[160], wrong[160];
        if (st != TERN_OK && place && sscanf(place, "a.tir:%u", &line) == 1 && gives &&
            (says = strstr(gives, ", but the type says ")) && says - gives < 150) {
            snprintf(right, sizeof right, "%.*s", (int)(says - gives - 7), gives + 7);
            says += strlen(", but the type says ");
            snprintf(wrong, sizeof wrong, "%.*s", (int)strcspn(says, "\n("), says);
            for (size_t k = strlen(wrong); k && wrong[k - 1] == ' ';) wrong[--k] = 0;
            char *p = text;
            for (unsigned l = 1; l < line && p; l++) p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL;
            char *q = p ? strstr(p, wrong) : NULL;
            if (q && q < p + strcspn(p, "\n")) made = replaced(text, (Span){q, strlen(wrong)}, right, false);
        }
        got_free(&got);
        *ok = st == TERN_OK;
        if (!made) break;
        free(text);
        text = made;
    }
    return text;
}

/* ---- what is done with texts */

static const char *const levels[] = {NULL,   "avx2",         "avx-vnni",  "avx512-vnni", "amx",
                                     "neon", "neon-dotprod", "neon-i8mm", "ref"};
static const uint32_t batch_classes[][2] = {{0, 0}, {1, 1},  {2, 8},   {9, 512},   {1, 512},
                                            {3, 3}, {9, 40}, {64, 64}, {600, 600}, {1, 65536}};

/* Mostly such as the stage allows. */
static const char *some_passes(uint64_t *s, const char *text, char out[200]) {
    static const char *const all[] = {"fold", "cse",  "dce",      "prune",  "merge", "shortlist", "split",
                                      "fuse", "gate", "colmajor", "layout", "tile",  "plan"};
    enum { MODEL = 7, FUSED = 12 };
    size_t at = 0, left = pick(s, 8);
    out[0] = 0;
    if (pick(s, 6) == 0) return NULL;
    if (pick(s, 8) == 0) { /* anything */
        while (left--) at += (size_t)snprintf(out + at, 200 - at, "%s%s", at ? "," : "", all[pick(s, 13)]);
        return out;
    }
    if (strstr(text, "stage=planned")) return out;
    if (!strstr(text, "stage=fused")) {
        while (left--) at += (size_t)snprintf(out + at, 200 - at, "%s%s", at ? "," : "", all[pick(s, MODEL)]);
        if (pick(s, 4) == 0) return out;
        at += (size_t)snprintf(out + at, 200 - at, "%sfuse", at ? "," : "");
    }
    left = pick(s, 6);
    while (left--)
        at += (size_t)snprintf(out + at, 200 - at, "%s%s", at ? "," : "", all[MODEL + 1 + pick(s, 4)]);
    if (pick(s, 3)) at += (size_t)snprintf(out + at, 200 - at, "%slayout,tile,plan", at ? "," : "");
    return out;
}

static void about(const char *call, TernStatus st, const TernError *err, const Got *got) {
    now->calls++;
    now->accepted += st == TERN_OK;
    if (st != TERN_OK && !err->text[0])
        tn_bug(__FILE__, __LINE__, "%s: status %d without a line", call, (int)st);
    if (st != TERN_OK && strchr(err->text, '\n')) tn_bug(__FILE__, __LINE__, "%s: two lines", call);
    (void)got;
}

static void done(const Sweep *w, const char *call, TernStatus st, TernError *err, Got *got) {
    about(call, st, err, got);
    if (w->show) printf("%s: status %d %s\n", call, (int)st, st == TERN_OK ? "" : err->text);
    got_free(got);
}
#define CALL(...) snprintf(now->what, sizeof now->what, __VA_ARGS__)

static char *call_opt(const Sweep *w, uint64_t *s, const char *text) {
    char list[200];
    Got got = {{0}, {0}};
    TernError err = {0};
    size_t c = strstr(text, "rows=") && pick(s, 8) ? 0 : pick(s, TN_COUNT(batch_classes));
    TerncOpt o = {.size = sizeof o, .path = w->a, .passes = some_passes(s, text, list)};
    if (strstr(text, "\nend\ngraph")) o.variant = 1 + (uint32_t)pick(s, 2);
    o.level = strstr(text, "level=") && pick(s, 8) ? NULL : levels[pick(s, TN_COUNT(levels))];
    o.kv = strstr(text, "kv=") && pick(s, 8) ? 0 : (TernKv)pick(s, 4);
    o.rows_lo = batch_classes[c][0];
    o.rows_hi = batch_classes[c][1];
    static const char *const heads[] = {"f16", "f32", "q8", "q6", "q5"};
    if (pick(s, 5) == 0) o.head = heads[pick(s, 5)];
    o.verify_each = pick(s, 3) == 0;
    o.ranges = pick(s, 8) == 0;
    CALL("opt passes=%s level=%s kv=%d rows=%u..%u head=%s ranges=%d", o.passes ? o.passes : "(all)",
         o.level ? o.level : "(best)", (int)o.kv, o.rows_lo, o.rows_hi, o.head ? o.head : "", o.ranges);
    TernStatus st = ternc_opt(&o, take, &got, &err);
    char *made = st == TERN_OK && !o.ranges ? strdup(got.result.data) : NULL;
    done(w, now->what, st, &err, &got);
    return made;
}

static void call_eval(const Sweep *w, uint64_t *s, const char *text) {
    static const uint32_t rows[] = {0, 0, 0, 1, 2, 3, 8, 9, 64};
    Got got = {{0}, {0}};
    TernError err = {0};
    TerncEval o = {.size = sizeof o, .path = w->a, .rows = rows[pick(s, TN_COUNT(rows))]};
    if (strstr(text, "= gguf") && pick(s, 8)) o.weights = w->model;
    CALL("eval rows=%u weights=%d", o.rows, o.weights != NULL);
    TernStatus st = ternc_eval(&o, take, &got, &err);
    done(w, now->what, st, &err, &got);
}

/* Code is made for one run in so many, which is what takes time. */
static const char *some_target(uint64_t *s) {
    return *native_levels() && pick(s, TN_SANITIZED ? 30 : 12) == 0 ? (pick(s, 2) ? "llvm" : NULL) : "ref";
}

static void call_verify(const Sweep *w, uint64_t *s, const char *text, bool random) {
    static const int32_t tokens[] = {5, 6, 7, 1, 2, 300, 9, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23};
    Got got = {{0}, {0}};
    TernError err = {0};
    int same = 0;
    TerncSource source = {.size = sizeof source, .tir = w->a};
    if (!random || strstr(text, "= gguf")) source.path = w->model;
    TerncOptions options = {.size = sizeof options, .target = some_target(s)};
    TerncVerify o = {
        .size = sizeof o, .source = &source, .options = &options, .random = random, .threads = 1};
    size_t c = pick(s, 2) ? 0 : pick(s, TN_COUNT(batch_classes));
    o.kv = (TernKv)pick(s, 4);
    if (random) {
        o.seeded = 1;
        o.seed = pick(s, 100);
        o.rows_lo = batch_classes[c][0];
        o.rows_hi = batch_classes[c][1];
    } else {
        o.tokens = tokens;
        o.n_tokens = (uint32_t)(1 + pick(s, TN_COUNT(tokens)));
        if (pick(s, 4)) o.against = pick(s, 3) ? w->b : w->model;
        o.bisect = pick(s, 4) == 0;
    }
    CALL("verify %s seed=%llu rows=%u..%u kv=%d target=%s against=%s bisect=%d tokens=%u",
         random ? "random" : "tokens", (unsigned long long)o.seed, o.rows_lo, o.rows_hi, (int)o.kv,
         options.target ? options.target : "(best)", o.against ? o.against : "", o.bisect, o.n_tokens);
    TernStatus st = ternc_verify(&o, take, &got, &same, &err);
    if (random && st == TERN_OK && !same) /* a right graph, and code that gives something else */
        tn_bug(__FILE__, __LINE__, "%s: %.300s", now->what, got.result.data);
    done(w, now->what, st, &err, &got);
}

static void call_diff(const Sweep *w, uint64_t *s) {
    Got got = {{0}, {0}};
    TernError err = {0};
    int same = 0;
    TerncDiff o = {.size = sizeof o, .a = w->a, .b = pick(s, 6) ? w->b : w->model};
    o.names = pick(s, 2) == 0;
    CALL("diff a.tir %s names=%d", o.b, o.names);
    TernStatus st = ternc_diff(&o, take, &got, &same, &err);
    done(w, now->what, st, &err, &got);
}

static void call_picture(const Sweep *w, uint64_t *s, const char *path) {
    static const char *const formats[] = {"dot", "json", "tir"};
    Got got = {{0}, {0}};
    TernError err = {0};
    TerncPicture o = {.size = sizeof o, .path = path, .format = formats[pick(s, 3)]};
    if (strcmp(o.format, "dot") == 0) {
        o.fold_layers = pick(s, 2) == 0;
        o.one_layer = pick(s, 4) == 0;
        o.variant = (uint32_t)(pick(s, 4) == 0);
    }
    CALL("picture %s fold=%d one=%d variant=%u", o.format, o.fold_layers, o.one_layer, o.variant);
    TernStatus st = ternc_picture(&o, take, &got, &err);
    done(w, now->what, st, &err, &got);
}

static void sink(void *user, const TernResult *r) {
    (void)user;
    (void)r;
}

/* A few rows through the model that has the text for a graph. */
static void steps(TernModel *model, uint64_t *s) {
    TernRow rows[12];
    TernError err = {0};
    TernSession *session;
    TernPoolOptions pool_options = {.size = sizeof pool_options, .threads = 1};
    TernPool *pool;
    if (tern_pool_create(&pool_options, &pool, &err) != TERN_OK) return;
    TernSessionOptions o = {.size = sizeof o, .slots = 2, .context = 128, .kv = (TernKv)pick(s, 4)};
    if (tern_session_create(model, pool, &o, &session, &err) == TERN_OK) {
        for (int step = 0; step < 2; step++) {
            size_t n = 1 + pick(s, TN_COUNT(rows));
            memset(rows, 0, sizeof rows);
            for (size_t i = 0; i < n; i++) {
                rows[i].token = (int32_t)(3 + i);
                rows[i].slot = (uint32_t)(i % 2);
                rows[i].want = (uint32_t)pick(s, 5);
            }
            (void)tern_session_step(session, rows, n, sink, NULL, &err);
        }
        tern_session_destroy(session);
    }
    tern_pool_destroy(pool);
}

static void call_compile(const Sweep *w, uint64_t *s) {
    static const char *const kinds[] = {"llvm", "asm", "obj"};
    Got got = {{0}, {0}};
    TernError err = {0};
    TerncSource source = {.size = sizeof source, .path = w->model, .tir = w->a};
    TerncOptions o = {.size = sizeof o, .levels = "ref"};
    if (pick(s, 6) == 0) o.head = pick(s, 2) ? "q8" : "f32";
    const char *target = some_target(s);
    TernStatus st;
    if (target == NULL || strcmp(target, "ref") != 0) {
        const char *kind = kinds[pick(s, 3)];
        o.levels = "avx2";
        o.target = target;
        CALL("emit %s head=%s", kind, o.head ? o.head : "");
        st = ternc_emit(&source, &o, kind, take, &got, &err);
    } else if (pick(s, 3) == 0) {
        CALL("compile head=%s", o.head ? o.head : "");
        st = ternc_compile(&source, &o, w->out, NULL, &err);
        if (st == TERN_OK) {
            Got of_blob = {{0}, {0}};
            TernError e;
            CALL("compile, then inspect");
            (void)ternc_inspect(w->out, take, &of_blob, &e);
            got_free(&of_blob);
        }
        unlink(w->out);
    } else {
        TernModel *model;
        CALL("load head=%s", o.head ? o.head : "");
        st = ternc_load(&source, &o, NULL, &model, &err);
        if (st == TERN_OK) {
            CALL("load, then steps");
            steps(model, s);
            tern_model_close(model);
        }
    }
    done(w, now->what, st, &err, &got);
}

/* ---- a case */

/* Changes that leave something that verifies are what reaches far: most of those that do not are tried again.
 */
static char *damaged(const Sweep *w, char *text, uint64_t *s) {
    for (size_t n = pick(s, 5) ? 1 + pick(s, 3) : 0; n; n--)
        for (int tries = 0; tries < TRIES; tries++) {
            bool ok;
            char *made = repair(w, change(text, s), &ok);
            now->changed++;
            if (!ok && pick(s, TRIES + 2)) {
                free(made);
                continue;
            }
            now->sound += ok;
            free(text);
            text = made;
            break;
        }
    return text;
}

static void one_case(const Sweep *w, uint64_t seed) {
    uint64_t s = seed;
    char *text = strdup(w->text[pick(&s, w->n)]), *other = strdup(w->text[pick(&s, w->n)]);
    for (int rounds = (int)pick(&s, 3); rounds >= 0; rounds--) {
        text = damaged(w, text, &s);
        if (pick(&s, 2)) {
            free(other);
            other = damaged(w, strdup(text), &s);
        }
        write_text(w->a, text);
        write_text(w->b, other);
        if (w->show) printf("---- a.tir\n%s---- b.tir\n%s----\n", text, other);
        char *made = call_opt(w, &s, text);
        switch (pick(&s, 8)) {
        case 0:
        case 1:
            call_eval(w, &s, text);
            break;
        case 2:
        case 3:
            call_verify(w, &s, text, true);
            break;
        case 4:
            call_verify(w, &s, text, false);
            break;
        case 5:
            call_diff(w, &s);
            break;
        case 6:
            call_picture(w, &s, w->a);
            break;
        case 7:
            call_compile(w, &s);
            break;
        }
        if (!made) break;
        free(other);
        other = text;
        text = made;
    }
    free(text);
    free(other);
}

/* ---- the texts */

static void add_text(Sweep *w, const char *text, size_t n) {
    if (w->n < TEXTS_MAX) w->text[w->n++] = strndup(text, n);
}

static void add_docs(Sweep *w) {
    char *doc;
    size_t n;
    if (tn_file_read(TERN_SOURCE_DIR "/docs/ir.md", 1 << 22, &doc, &n, NULL) != TERN_OK) abort();
    for (const char *p = doc, *end; (p = strstr(p, "```tir\n")) && (end = strstr(p + 7, "```")); p = end + 3)
        add_text(w, p + 7, (size_t)(end - p - 7));
    free(doc);
}

static void add_goldens(Sweep *w) {
    glob_t found;
    if (glob(TERN_SOURCE_DIR "/tests/passes/golden/*.tir", 0, NULL, &found) != 0) abort();
    for (size_t i = 0; i < found.gl_pathc; i++) {
        char *text;
        size_t n;
        if (tn_file_read(found.gl_pathv[i], 1 << 20, &text, &n, NULL) != TERN_OK) abort();
        char *mark = strstr(text, "; ----\n");
        if (mark) add_text(w, text, (size_t)(mark - text));
        if (mark && strncmp(mark + 7, "tir 1", 5) == 0) add_text(w, mark + 7, strlen(mark + 7));
        free(text);
    }
    globfree(&found);
}

/* A model of two small layers, and its graph at the stages and batch classes that there are. */
static void add_model(Sweep *w) {
    TnGmSpec spec = tn_gm_small;
    TnBuf bytes = {0};
    tn_gm_shape("tiny", &spec);
    spec.hidden = 64, spec.ffn = 128, spec.heads = 2, spec.kv_heads = 1, spec.vocab = 300, spec.context = 256;
    spec.arch = "llama";
    spec.dead = 0.1f;
    tn_gm_bytes(&spec, &bytes);
    FILE *f = fopen(w->model, "wb");
    if (!f || fwrite(bytes.data, 1, bytes.len, f) != bytes.len || fclose(f)) abort();
    tn_buf_free(&bytes);
    static const struct {
        const char *passes, *level, *head;
        uint32_t lo, hi;
    } ways[] = {{"", NULL, NULL, 0, 0},
                {"fold,cse,dce,merge", NULL, NULL, 0, 0},
                {"shortlist", NULL, "q8", 0, 0},
                {"split", "avx2", NULL, 1, 1},
                {"split,fuse,gate", "avx2", NULL, 2, 8},
                {NULL, "avx2", NULL, 1, 1},
                {NULL, "avx512-vnni", "q6", 2, 8},
                {NULL, "ref", NULL, 9, 512}};
    for (size_t i = 0; i < TN_COUNT(ways); i++) {
        Got got = {{0}, {0}};
        TernError err;
        TerncOpt o = {.size = sizeof o,
                      .path = w->model,
                      .passes = ways[i].passes,
                      .level = ways[i].level && !*native_levels() ? "ref" : ways[i].level,
                      .head = ways[i].head,
                      .rows_lo = ways[i].lo,
                      .rows_hi = ways[i].hi};
        if (ternc_opt(&o, take, &got, &err) != TERN_OK) {
            fprintf(stderr, "%s\n", err.text);
            abort();
        }
        for (int twice = 0; twice < 4; twice++) add_text(w, got.result.data, strlen(got.result.data));
        got_free(&got);
    }
}

/* ---- many */

static int child(const Sweep *w, uint64_t from, uint64_t to) {
    struct rlimit cpu = {(rlim_t)TN_HANG_SECONDS * 4, (rlim_t)TN_HANG_SECONDS * 4};
    setrlimit(RLIMIT_CPU, &cpu);
    struct rlimit memory = {(rlim_t)6 << 30, (rlim_t)6 << 30};
    if (!TN_SANITIZED) setrlimit(RLIMIT_AS, &memory);
    for (uint64_t seed = from; seed < to; seed++) {
        now->seed = seed;
        double start = tn_cpu_seconds();
        one_case(w, seed);
        if (tn_cpu_seconds() - start > TN_HANG_SECONDS)
            tn_bug(__FILE__, __LINE__, "%s takes too long", now->what);
    }
    return 0;
}

/* Cases [from, to), in processes that take the blame; the number of those that ended badly. */
static int sweep(const Sweep *w, uint64_t from, uint64_t to) {
    int failures = 0;
    for (uint64_t at = from; at < to && failures < 20;) {
        uint64_t end = at + BATCH < to ? at + BATCH : to;
        char log[96];
        snprintf(log, sizeof log, "%s/log", w->dir);
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) {
            if (!freopen(log, "w", stderr)) _exit(3);
            setvbuf(stderr, NULL, _IONBF, 0);
            exit(child(w, at, end));
        }
        int status = 0;
        if (pid < 0 || waitpid(pid, &status, 0) != pid) abort();
        char *text = NULL;
        size_t n = 0;
        bool full =
            tn_file_read(log, 1 << 20, &text, &n, NULL) == TERN_OK && strstr(text, "tern: out of memory: ");
        at = status ? now->seed + 1 : end;
        if (status && !(WIFEXITED(status) && WEXITSTATUS(status) == 1 && full)) {
            failures++;
            fprintf(stderr, "case %llu: %s: status 0x%x\n%.3000s\n", (unsigned long long)now->seed, now->what,
                    status, text ? text : "");
        }
        free(text);
    }
    return failures;
}

int main(int argc, char **argv) {
    Sweep w = {.dir = "/tmp/tern-sweep-XXXXXX"};
    if (!mkdtemp(w.dir)) return 1;
    snprintf(w.a, sizeof w.a, "%s/a.tir", w.dir);
    snprintf(w.b, sizeof w.b, "%s/b.tir", w.dir);
    snprintf(w.out, sizeof w.out, "%s/out", w.dir);
    snprintf(w.model, sizeof w.model, "%s/model.gguf", w.dir);
    now = mmap(NULL, sizeof *now, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (now == MAP_FAILED) return 1;
    add_docs(&w);
    add_goldens(&w);
    add_model(&w);
    uint64_t from = 1, count = TN_SANITIZED ? 200 : 600;
    w.show = argc == 3 && strcmp(argv[1], "show") == 0;
    if (argc == 3)
        from = strtoull(argv[w.show ? 2 : 1], NULL, 10), count = w.show ? 1 : strtoull(argv[2], NULL, 10);
    int failures = w.show ? child(&w, from, from + 1) : sweep(&w, from, from + count);
    printf("%llu cases, %llu calls, %llu of them accepted; %llu changes, %llu of them sound\n",
           (unsigned long long)count, (unsigned long long)now->calls, (unsigned long long)now->accepted,
           (unsigned long long)now->changed, (unsigned long long)now->sound);
    char line[128];
    snprintf(line, sizeof line, "rm -rf %s", w.dir);
    if (system(line)) failures++;
    for (size_t i = 0; i < w.n; i++) free(w.text[i]);
    return failures != 0;
}
