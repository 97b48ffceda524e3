/* Measured choices, as a table and as a text.
 *
 * A file of choices only saves time: a file that cannot be read is ignored and replaced. So a fault is one line
 * with its place, and nothing of a faulty text is used. The lexer of .tir reads the lines. */
#include "codegen/tune.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "ir/lex.h"
#include "ir/print.h"
#include "runtime/base/os.h"

enum { FILE_MOST = 8 << 20, THREADS_MOST = 1 << 16, LOCK_SECONDS = 60 };

static bool same(const TnTuneMachine *a, const TnTuneMachine *b) {
    return a->threads == b->threads && a->huge == b->huge && !strcmp(a->cpu, b->cpu) &&
           !strcmp(a->version, b->version);
}

const TnTuned *tn_tune_find(const TnTuneTable *t, TnTunedKind kind, const TnTuneMachine *m,
                            const char *shape) {
    for (size_t i = t->n; i-- > 0;)
        if (t->v[i].kind == kind && same(&t->v[i].machine, m) && !strcmp(t->v[i].shape, shape))
            return &t->v[i];
    return NULL;
}

/* Adds a choice at the end and removes the older one of its kind, machine and shape. */
static void put(TnTuneTable *t, const TnTuned *choice, bool fresh) {
    const TnTuned *old = tn_tune_find(t, choice->kind, &choice->machine, choice->shape);
    TnTuned e = *choice;
    e.fresh = fresh;
    e.shape = tn_strdup(&t->arena, choice->shape);
    e.machine.cpu = tn_strdup(&t->arena, choice->machine.cpu);
    e.machine.version = tn_strdup(&t->arena, choice->machine.version);
    if (old) {
        size_t at = (size_t)(old - t->v);
        memmove(t->v + at, t->v + at + 1, (--t->n - at) * sizeof *t->v);
    }
    TN_PUSH(t->v, t->n, t->cap, e);
}

void tn_tune_put(TnTuneTable *t, const TnTuned *choice) {
    put(t, choice, true);
}

void tn_tune_free(TnTuneTable *t) {
    free(t->v);
    tn_arena_free(&t->arena);
    *t = (TnTuneTable){0};
}

/* ---- Writing */

static const char *const kinds[] = {[TN_TUNED_KERNEL] = "kernel", [TN_TUNED_PACKING] = "packing"};

static void put_string(const char *s, TnBuf *out) {
    tn_print_value(&(TnAttr){.key = TN_ATTR_name, .s = s}, out);
}

/* The first two distances always, the others if they are not 0. */
static void put_setting(const TnSetting *s, TnBuf *out) {
    TnPrefetch rest = s->prefetch;
    int64_t *dense = rest.ahead[TN_STREAM_DENSE];
    tn_buf_printf(out, ", grain=%lld, prefetch_l1=%lld, prefetch_l2=%lld", (long long)s->grain,
                  (long long)dense[TN_INTO_L1], (long long)dense[TN_INTO_L2]);
    dense[TN_INTO_L1] = dense[TN_INTO_L2] = 0;
    tn_prefetch_print(&rest, out);
    if (s->panels) tn_buf_puts(out, ", panels=1");
}

void tn_tune_print(const TnTuneTable *t, TnBuf *out) {
    tn_buf_puts(out, "tune 1\n; what `tern compile --tune` measured; may be edited, or removed\n");
    for (size_t i = t->n > TN_TUNE_MOST ? t->n - TN_TUNE_MOST : 0; i < t->n; i++) {
        const TnTuned *e = &t->v[i];
        tn_buf_printf(out, "%s ", kinds[e->kind]);
        put_string(e->shape, out);
        tn_buf_puts(out, " {cpu=");
        put_string(e->machine.cpu, out);
        tn_buf_printf(out, ", threads=%u, pages=%s, tern=", e->machine.threads,
                      e->machine.huge ? "huge" : "small");
        put_string(e->machine.version, out);
        if (e->kind == TN_TUNED_KERNEL)
            put_setting(&e->s, out);
        else
            tn_buf_printf(out, ", base3=%s", e->base3 ? "yes" : "no");
        tn_buf_puts(out, "}\n");
    }
}

/* ---- Reading */

typedef struct Reader {
    const char *file;
    uint32_t line;
    TnLex lex;
    TnTok tok;
    TnArena arena;
    TernError *err;
} Reader;

static bool fail_at(Reader *r, uint32_t col, const char *fmt, ...) TN_PRINTF(3, 4);
static bool fail_at(Reader *r, uint32_t col, const char *fmt, ...) {
    char text[sizeof(((TernError *)0)->text)];
    va_list ap;
    va_start(ap, fmt);
    tn_message(text, sizeof text, fmt, ap);
    va_end(ap);
    tn_fail(r->err, TERN_ERR_INPUT, "%s:%u:%u: %s", r->file, r->line, col, text);
    return false;
}

static bool next(Reader *r) {
    TernError err;
    return tn_lex_next(&r->lex, &r->tok, &err) == TERN_OK || fail_at(r, r->tok.col, "%s", err.text);
}

static bool expected(Reader *r, const char *what) {
    return fail_at(r, r->tok.col, "found %s, expected %s", tn_lex_shown(&r->tok).s, what);
}

static bool word_is(const Reader *r, const char *s) {
    return r->tok.kind == TN_TOK_WORD && strlen(s) == r->tok.n && !memcmp(r->tok.s, s, r->tok.n);
}

/* Whether the word after the token at hand, a comma, is s. */
static bool next_word_is(const Reader *r, const char *s) {
    TernError err;
    Reader later = *r;
    return tn_lex_next(&later.lex, &later.tok, &err) == TERN_OK && word_is(&later, s);
}

static bool word(Reader *r, const char *s) {
    return word_is(r, s) ? next(r) : expected(r, s);
}

static bool sign(Reader *r, int kind) {
    char what[] = {'\'', (char)kind, '\'', 0};
    return r->tok.kind == kind ? next(r) : expected(r, what);
}

static bool string(Reader *r, const char **out) {
    TernError err;
    char s[TN_STR_MAX + 1];
    if (r->tok.kind != TN_TOK_STRING) return expected(r, "a string");
    if (tn_lex_string(&r->tok, s, &err) != TERN_OK) return fail_at(r, r->tok.col, "%s", err.text);
    *out = tn_strdup(&r->arena, s);
    return next(r);
}

static bool number(Reader *r, const char *what, int64_t least, int64_t most, int64_t *out) {
    TernError err;
    if (r->tok.kind != TN_TOK_WORD) return expected(r, "a number");
    if (tn_lex_int(&r->tok, out, &err) != TERN_OK) return fail_at(r, r->tok.col, "%s", err.text);
    if (*out < least || *out > most)
        return fail_at(r, r->tok.col, "%s=%lld, expected %lld to %lld", what, (long long)*out,
                       (long long)least, (long long)most);
    return next(r);
}

static bool key(Reader *r, const char *name, bool first) {
    return (first || sign(r, ',')) && word(r, name) && sign(r, '=');
}

static bool distance(Reader *r, TnStream stream, TnInto into, TnPrefetch *out) {
    const char *name = tn_attrs[tn_prefetch_key(stream, into)].name;
    int64_t *ahead = &out->ahead[stream][into];
    if (!key(r, name, false)) return false;
    uint32_t col = r->tok.col;
    if (!number(r, name, INT64_MIN, INT64_MAX, ahead)) return false;
    return tn_prefetch_ok(stream, *ahead) ||
           fail_at(r, col, "%s=%lld, %s", name, (long long)*ahead, tn_prefetch_expected(stream).s);
}

/* One of two words: sets *second if it is that one. */
static bool either(Reader *r, const char *one, const char *other, bool *second) {
    char what[32];
    snprintf(what, sizeof what, "%s or %s", one, other);
    *second = word_is(r, other);
    return *second || word_is(r, one) ? next(r) : expected(r, what);
}

/* The first two distances, then any of the others in their order. */
static bool distances(Reader *r, TnPrefetch *out) {
    *out = (TnPrefetch){0};
    if (!distance(r, TN_STREAM_DENSE, TN_INTO_L1, out) || !distance(r, TN_STREAM_DENSE, TN_INTO_L2, out))
        return false;
    for (TnStream s = 0; s < TN_STREAM_COUNT; s++)
        for (TnInto i = s == TN_STREAM_DENSE ? TN_INTO_PAST : TN_INTO_L1; i < TN_INTO_COUNT; i++)
            if (r->tok.kind == ',' && next_word_is(r, tn_attrs[tn_prefetch_key(s, i)].name) &&
                !distance(r, s, i, out))
                return false;
    return true;
}

/* The distances, then panels=1 or nothing. */
static bool reading(Reader *r, TnSetting *out) {
    const char *name = tn_attrs[TN_ATTR_panels].name;
    int64_t panels = 0;
    if (!distances(r, &out->prefetch)) return false;
    if (r->tok.kind == ',' && next_word_is(r, name) &&
        (!key(r, name, false) || !number(r, name, 0, 1, &panels)))
        return false;
    out->panels = panels;
    return true;
}

static bool entry(Reader *r, TnTuneTable *t) {
    TnTuned e = {0};
    TnTuneMachine *m = &e.machine;
    int64_t threads;
    bool packing;
    if (!either(r, kinds[TN_TUNED_KERNEL], kinds[TN_TUNED_PACKING], &packing) || !string(r, &e.shape) ||
        !sign(r, '{') || !key(r, "cpu", true) || !string(r, &m->cpu) || !key(r, "threads", false) ||
        !number(r, "threads", 1, THREADS_MOST, &threads) || !key(r, "pages", false) ||
        !either(r, "small", "huge", &m->huge) || !key(r, "tern", false) || !string(r, &m->version))
        return false;
    e.kind = packing ? TN_TUNED_PACKING : TN_TUNED_KERNEL;
    m->threads = (uint32_t)threads;
    if (packing
            ? !key(r, "base3", false) || !either(r, "no", "yes", &e.base3)
            : !key(r, "grain", false) || !number(r, "grain", 1, TN_CUT_MOST, &e.s.grain) || !reading(r, &e.s))
        return false;
    if (!sign(r, '}')) return false;
    if (r->tok.kind != TN_TOK_END) return expected(r, "the end of the line");
    put(t, &e, false);
    return true;
}

static bool lines(Reader *r, const char *text, size_t n, TnTuneTable *t) {
    const char *end = text + n;
    bool head = false;
    for (const char *stop; text < end; text = stop < end ? stop + 1 : end) {
        stop = memchr(text, '\n', (size_t)(end - text));
        if (!stop) stop = end;
        r->line++;
        r->lex = (TnLex){text, text, stop};
        if (!next(r)) return false;
        if (r->tok.kind == TN_TOK_END) continue;
        if (!head) {
            if (!word_is(r, "tune")) return expected(r, "'tune 1', the first line of such a file");
            if (!next(r) || !word(r, "1")) return false;
            if (r->tok.kind != TN_TOK_END) return expected(r, "the end of the line");
            head = true;
        } else if (t->n >= 2 * TN_TUNE_MOST) {
            return fail_at(r, 1, "more than %d choices", 2 * TN_TUNE_MOST);
        } else if (!entry(r, t)) {
            return false;
        }
    }
    r->line += !head;
    return head || fail_at(r, 1, "the text is empty, expected 'tune 1'");
}

TernStatus tn_tune_parse(const char *text, size_t n, const char *file, TnTuneTable *t, TernError *err) {
    Reader r = {.file = file, .err = err};
    TnTuneTable read = {0};
    TernError why;
    size_t at = 0;
    bool ok;
    if (tn_lex_text(text, n, &at, &why) != TERN_OK) {
        uint32_t col;
        tn_lex_place(text, at, &r.line, &col);
        ok = fail_at(&r, col, "%s", why.text);
    } else {
        ok = lines(&r, text, n, &read);
    }
    for (size_t i = 0; ok && i < read.n; i++) {
        const TnTuned *e = &read.v[i], *old = tn_tune_find(t, e->kind, &e->machine, e->shape);
        if (!old || !old->fresh) put(t, e, false);
    }
    tn_tune_free(&read);
    tn_arena_free(&r.arena);
    return ok ? TERN_OK : TERN_ERR_INPUT;
}

TernStatus tn_tune_read(const char *path, TnTuneTable *t, TernError *err) {
    TnFile file;
    if (access(path, F_OK) != 0 && errno == ENOENT) return TERN_OK;
    TN_TRY(tn_file_map(path, &file, err));
    TernStatus s =
        file.size > FILE_MOST
            ? tn_fail(err, TERN_ERR_INPUT, "%s: %zu bytes, expected at most %d", path, file.size, FILE_MOST)
            : tn_tune_parse(file.size ? (const char *)file.data : "", file.size, path, t, err);
    tn_file_unmap(&file);
    return s;
}

TernStatus tn_tune_check(const char *path, TernError *err) {
    TnFile file;
    TernError unreadable; /* for example a pipe: nothing to lose */
    if (tn_file_map(path, &file, &unreadable) != TERN_OK) return TERN_OK;
    TernStatus st = TERN_OK;
    if (file.size && (file.size < 4 || memcmp(file.data, "tune", 4) != 0))
        st = tn_fail(err, TERN_ERR_INPUT,
                     "%s: not a tuning cache, and writing one would destroy it: expected a file that begins "
                     "with 'tune 1', or a new name",
                     path);
    tn_file_unmap(&file);
    return st;
}

TernStatus tn_tune_write(const char *path, const TnTuneTable *t, TernError *err) {
    TnTuneTable all = {0};
    int lock = tn_os_lock_folder(path, LOCK_SECONDS);
    (void)tn_tune_read(path, &all, NULL); /* a file that cannot be read is replaced */
    for (size_t i = 0; i < t->n; i++)
        if (t->v[i].fresh) put(&all, &t->v[i], true);
    TnBuf out = {0};
    tn_tune_print(&all, &out);
    tn_tune_free(&all);
    TnWriter w;
    TernStatus s = tn_writer_open(path, &w, err);
    if (s == TERN_OK) s = tn_writer_put(&w, out.data, out.len, err);
    if (s == TERN_OK) s = tn_writer_commit(&w, err);
    tn_os_unlock(lock);
    tn_buf_free(&out);
    return s;
}
