/* Reads the text form. One line is one node, so the parser is a loop over lines that remembers whether it
 * is outside, in a graph, or in a kernel. A faulty line is reported and skipped. The value that it would
 * have made is marked as broken, so that its readers do not report the same fault again. */
#include "ir/internal.h"
#include "ir/lex.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX   ((size_t)1 << 30)
#define GRAPHS_MAX 256
#define ERRORS_MAX 20

typedef struct Parser {
    const char *file;
    uint32_t line;
    TnLex lex;
    TnTok tok; /* the current token */
    TnDiag *diag;
    bool bad;        /* a fault of this line was reported */
    bool fatal;      /* stop reading */
    TnArena scratch; /* strings and lists of the line */
    TnScale *scales;
    uint32_t n_scales, cap_scales;

    TnGraph **graphs;
    uint32_t n_graphs, cap_graphs;
    TnGraph *g;         /* the graph being read, or NULL */
    TnMap broken;       /* its values that were reported; keys point into the text */
    TnMap kernel_names; /* keys are in its arena */
    uint32_t kernel;    /* the kernel being read, or TN_NONE */
    TnTok root;         /* the root that its first line names */
    bool kernel_bad;    /* a fault of one of its lines was reported */
} Parser;

/* ---- reporting: only the first fault of a line is reported */

static bool fail_at(Parser *p, uint32_t col, const char *fmt, ...) TN_PRINTF(3, 4);
static bool fail_at(Parser *p, uint32_t col, const char *fmt, ...) {
    if (p->bad) return false;
    char text[sizeof(((TernError *)0)->text)];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    tn_diag_add(p->diag, p->file, p->line, col, "%s", text);
    p->bad = true;
    return false;
}

static bool check(Parser *p, TernStatus status, uint32_t col, const TernError *err) {
    return status == TERN_OK || fail_at(p, col, "%s", err->text);
}

static bool next(Parser *p) {
    TernError err;
    TernStatus status = tn_lex_next(&p->lex, &p->tok, &err);
    return check(p, status, p->tok.col, &err);
}

static bool expected(Parser *p, const char *what) {
    return fail_at(p, p->tok.col, "found %s, expected %s", tn_lex_shown(&p->tok).s, what);
}

static bool accept(Parser *p, int kind, const char *what) {
    return p->tok.kind == kind ? next(p) : expected(p, what);
}

static bool word_is(const TnTok *t, const char *s) {
    return t->kind == TN_TOK_WORD && strlen(s) == t->n && memcmp(t->s, s, t->n) == 0;
}

static const char *keep(TnArena *arena, const TnTok *t) {
    return tn_strndup(arena, t->s, t->n);
}

static bool at_end(Parser *p) {
    return p->tok.kind == TN_TOK_END || expected(p, "the end of the line");
}

/* ---- attributes */

static bool parse_int(Parser *p, int64_t *out) {
    TernError err;
    return check(p, tn_lex_int(&p->tok, out, &err), p->tok.col, &err) && next(p);
}

static bool parse_float(Parser *p, float *out) {
    TernError err;
    return check(p, tn_lex_float(&p->tok, out, &err), p->tok.col, &err) && next(p);
}

static bool parse_floats(Parser *p, TnAttr *a) {
    float *fs = tn_alloc_array(&p->scratch, TN_VALUES_MAX, sizeof *fs);
    if (!accept(p, '[', "'['")) return false;
    for (a->fs = fs;;) {
        if (a->n == TN_VALUES_MAX) return fail_at(p, p->tok.col, "more than %d values", TN_VALUES_MAX);
        if (!parse_float(p, &fs[a->n++])) return false;
        if (p->tok.kind == ']') return next(p);
        if (!accept(p, ',', "',' or ']'")) return false;
    }
}

static bool parse_attr_value(Parser *p, TnAttr *a) {
    TernError err;
    switch (tn_attrs[a->key].kind) {
    case TN_AINT:
        return parse_int(p, &a->i);
    case TN_AHEX:
        return check(p, tn_lex_hex(&p->tok, &a->u, &err), p->tok.col, &err) && next(p);
    case TN_AFLOAT:
        return parse_float(p, &a->f);
    case TN_ASTR: {
        char *s = tn_alloc(
            &p->scratch, (p->tok.kind == TN_TOK_STRING && p->tok.n < TN_STR_MAX ? p->tok.n : TN_STR_MAX) + 1);
        a->s = s;
        return check(p, tn_lex_string(&p->tok, s, &err), p->tok.col, &err) && next(p);
    }
    case TN_AIDENT:
        if (p->tok.kind != TN_TOK_WORD || !tn_word_ok(p->tok.s, p->tok.n)) return expected(p, "a word");
        a->s = keep(&p->scratch, &p->tok);
        return next(p);
    case TN_AFLOATS:
        return parse_floats(p, a);
    }
    return false;
}

/* Reads one key=value of {..}; *more is set to whether there is another. Inference checks later whether the op has the
 * attribute. The last attributes of attrs.def are those of kernels. */
static bool parse_attr(Parser *p, bool of_kernel, TnAttr *a, TnTok *value, uint32_t *seen, bool *more) {
    TnTok key = p->tok;
    if (key.kind != TN_TOK_WORD) return expected(p, "an attribute");
    *a = (TnAttr){.key = tn_attr_find(key.s, key.n)};
    if (a->key == TN_ATTR_COUNT) return fail_at(p, key.col, "unknown attribute %s", tn_lex_shown(&key).s);
    if ((a->key >= TN_ATTR_root) != of_kernel)
        return fail_at(p, key.col, "attribute %s does not belong here", tn_lex_shown(&key).s);
    if (*seen >> a->key & 1) return fail_at(p, key.col, "attribute %s is given twice", tn_lex_shown(&key).s);
    *seen |= 1u << a->key;
    if (!next(p) || !accept(p, '=', "'='")) return false;
    *value = p->tok;
    if (!parse_attr_value(p, a)) return false;
    *more = p->tok.kind == ',';
    return *more ? next(p) : accept(p, '}', "',' or '}'");
}

/* ---- nodes */

static bool parse_dim(Parser *p, TnDim *out) {
    const TnTok *t = &p->tok;
    TnSym s = t->kind == TN_TOK_WORD ? tn_sym_find(t->s, t->n) : TN_SYM_COUNT;
    if (s != TN_SYM_COUNT) {
        *out = tn_sym_dim(s);
        return next(p);
    }
    if (t->kind != TN_TOK_WORD || t->s[0] < '0' || t->s[0] > '9')
        return expected(p, "a dim: a number or T R K H S P N");
    return parse_int(p, out);
}

/* Reads what follows `scale=` if it is row or group:n; sets *out_is to whether it is. */
static bool parse_group(Parser *p, TnType *t, bool *out_is) {
    int64_t n = 0;
    bool row = word_is(&p->tok, "row");
    *out_is = row || word_is(&p->tok, "group");
    if (!*out_is || !next(p)) return !*out_is;
    t->group = TN_GROUP_ROW;
    if (row) return true;
    if (!accept(p, ':', "':'")) return false;
    uint32_t col = p->tok.col;
    if (!parse_int(p, &n)) return false;
    if (n != 64 && n != 128 && n != 256)
        return fail_at(p, col, "a group of %lld columns, expected 64, 128 or 256", (long long)n);
    t->group = (uint32_t)n;
    return true;
}

/* After `most=`. */
static bool parse_most(Parser *p, TnType *t) {
    int64_t most = 0;
    uint32_t col = p->tok.col;
    if (!parse_int(p, &most)) return false;
    if (most != 2) return fail_at(p, col, "most=%lld, expected 2 or nothing", (long long)most);
    t->two = true;
    return true;
}

static bool parse_scales(Parser *p, TnType *t) {
    bool group;
    if (!parse_group(p, t, &group)) return false;
    if (group) return true;
    TnScale s = {.rows = t->dim[0]};
    p->n_scales = 0;
    if (p->tok.kind != '[') {
        if (!parse_float(p, &s.scale)) return false;
        TN_PUSH(p->scales, p->n_scales, p->cap_scales, s);
    } else {
        do {
            if (!next(p) || !parse_int(p, &s.rows) || !accept(p, ':', "':'") || !parse_float(p, &s.scale))
                return false;
            TN_PUSH(p->scales, p->n_scales, p->cap_scales, s);
        } while (p->tok.kind == ',');
        if (!accept(p, ']', "',' or ']'")) return false;
    }
    t->scales = p->scales;
    t->n_scales = p->n_scales;
    return true;
}

static bool parse_type(Parser *p, TnType *t) {
    TnTok enc = p->tok;
    if (enc.kind != TN_TOK_WORD) return expected(p, "a type");
    *t = (TnType){.enc = tn_enc_find(enc.s, enc.n)};
    if (t->enc == TN_ENC_COUNT) return fail_at(p, enc.col, "unknown type %s", tn_lex_shown(&enc).s);
    if (!next(p) || !accept(p, '[', "'['")) return false;
    for (;;) {
        if (t->rank == 3) return fail_at(p, p->tok.col, "more than 3 dims");
        if (!parse_dim(p, &t->dim[t->rank++])) return false;
        if (p->tok.kind == ']') break;
        if (!accept(p, ',', "',' or ']'")) return false;
    }
    if (!next(p)) return false;
    if (word_is(&p->tok, "scale") && (!next(p) || !accept(p, '=', "'='") || !parse_scales(p, t)))
        return false;
    if (word_is(&p->tok, "most") && (!next(p) || !accept(p, '=', "'='") || !parse_most(p, t))) return false;
    TernError err;
    return check(p, tn_type_check(t, &err), enc.col, &err);
}

/* Reads an operand. Sets *broken if the value was reported where it is made. */
static bool parse_ref(Parser *p, TnRef *out, bool *broken) {
    TnTok t = p->tok;
    if (t.kind != TN_TOK_VALUE && t.kind != TN_TOK_WEIGHT) return expected(p, "an operand");
    *out = tn_map_get(&p->g->names, t.s, t.n);
    if (*out == TN_MAP_NONE) {
        if (tn_map_get(&p->broken, t.s, t.n) == TN_MAP_NONE)
            return fail_at(p, t.col, "%s is not defined above", tn_lex_shown(&t).s);
        *broken = true;
    } else if ((t.kind == TN_TOK_WEIGHT) != tn_node_is_source(p->g, *out)) {
        return fail_at(p, t.col, "%s is written with '%c'", tn_lex_shown(&t).s, tn_sigil(p->g, *out));
    }
    return next(p);
}

static bool parse_args(Parser *p, TnRef *args, uint32_t *n, bool *broken) {
    if (p->tok.kind == TN_TOK_END || p->tok.kind == '{') return true;
    for (;;) {
        if (*n == TN_ARGS_MAX) return fail_at(p, p->tok.col, "more than %d operands", TN_ARGS_MAX);
        if (!parse_ref(p, &args[(*n)++], broken)) return false;
        if (p->tok.kind == TN_TOK_END || p->tok.kind == '{') return true;
        if (!accept(p, ',', "',' or '{'")) return false;
    }
}

_Static_assert(TN_ATTR_root > TN_ATTR_off && TN_ATTR_root < TN_ATTR_barrier,
               "kernels' attributes are the last of attrs.def");

static bool parse_node_attrs(Parser *p, TnAttr *attrs, uint32_t *n) {
    uint32_t seen = 0;
    TnTok value;
    if (p->tok.kind == TN_TOK_END) return true;
    if (!next(p)) return false;
    for (bool more = true; more;)
        if (!parse_attr(p, false, &attrs[(*n)++], &value, &seen, &more)) return false;
    return true;
}

static bool parse_node(Parser *p, const TnTok *name) {
    TnGraph *g = p->g;
    TnRef was = tn_map_get(&g->names, name->s, name->n);
    if (was != TN_MAP_NONE)
        return fail_at(p, name->col, "%s is defined twice, first in line %u", tn_lex_shown(name).s,
                       g->nodes[was].line);
    if (g->n == TN_NODES_MAX) {
        p->fatal = true;
        return fail_at(p, name->col, "a graph of more than %u values", TN_NODES_MAX);
    }
    TnType type;
    if (!next(p) || !accept(p, ':', "':'") || !parse_type(p, &type) || !accept(p, '=', "'='")) return false;
    TnTok word = p->tok;
    TnOp op = word.kind == TN_TOK_WORD ? tn_op_find(word.s, word.n) : TN_OP_COUNT;
    if (op == TN_OP_COUNT) return fail_at(p, word.col, "unknown op %s", tn_lex_shown(&word).s);
    if ((tn_ops[op].class == TN_SOURCE) != (name->kind == TN_TOK_WEIGHT))
        return fail_at(p, name->col, "%s is made by %s, so it is written with '%c'", tn_lex_shown(name).s,
                       tn_ops[op].name, tn_ops[op].class == TN_SOURCE ? '$' : '%');
    TnRef args[TN_ARGS_MAX];
    TnAttr attrs[TN_ATTR_COUNT];
    uint32_t n_args = 0, n_attrs = 0;
    bool broken = false;
    if (!next(p) || !parse_args(p, args, &n_args, &broken) || !parse_node_attrs(p, attrs, &n_attrs) ||
        !at_end(p))
        return false;
    if (broken) return false; /* reported above */
    TnType inferred;
    TernError err;
    if (!check(p, tn_infer(g, op, &type, args, n_args, attrs, n_attrs, &p->scratch, &inferred, &err),
               word.col, &err))
        return false;
    TnRef r = tn_node_push(g, op, name->s, name->n, &type, args, n_args, attrs, n_attrs);
    g->nodes[r].line = p->line;
    g->nodes[r].kernel = p->kernel;
    if (p->kernel != TN_NONE) g->kernels[p->kernel].n++;
    return true;
}

static void value_line(Parser *p) {
    TnTok name = p->tok;
    if (!p->g) {
        fail_at(p, name.col, "%s stands outside of a graph", tn_lex_shown(&name).s);
        return;
    }
    if (parse_node(p, &name)) return;
    p->kernel_bad = true;
    if (tn_map_get(&p->g->names, name.s, name.n) == TN_MAP_NONE) tn_map_set(&p->broken, name.s, name.n, 0);
}

/* ---- kernels */

static bool set_prefetch(Parser *p, TnKernel *k, const TnTok *value, const TnAttr *a) {
    TnStream stream;
    TnInto into;
    if (!tn_prefetch_find(a->key, &stream, &into)) return true;
    if (!tn_prefetch_ok(stream, a->i))
        return fail_at(p, value->col, "%s=%lld, %s", tn_attrs[a->key].name, (long long)a->i,
                       tn_prefetch_expected(stream).s);
    k->prefetch.ahead[stream][into] = a->i;
    return true;
}

static bool set_kernel_attr(Parser *p, TnKernel *k, const TnTok *value, const TnAttr *a) {
    switch (a->key) {
    case TN_ATTR_root:
        p->root = *value;
        return true;
    case TN_ATTR_target:
        k->target = tn_strdup(&p->g->arena, a->s);
        return true;
    case TN_ATTR_axis:
        if (strcmp(a->s, "rows") != 0 && strcmp(a->s, "cols") != 0)
            return fail_at(p, value->col, "axis=%s, expected rows or cols", a->s);
        k->axis = a->s[0] == 'r' ? TN_AXIS_ROWS : TN_AXIS_COLS;
        return true;
    case TN_ATTR_grain:
    case TN_ATTR_units:
        if (a->i < 1)
            return fail_at(p, value->col, "%s=%lld, expected at least 1", tn_attrs[a->key].name,
                           (long long)a->i);
        *(a->key == TN_ATTR_grain ? &k->grain : &k->units) = a->i;
        return true;
    case TN_ATTR_panels:
    case TN_ATTR_barrier:
        if (a->i != 0 && a->i != 1)
            return fail_at(p, value->col, "%s=%lld, expected 0 or 1", tn_attrs[a->key].name, (long long)a->i);
        *(a->key == TN_ATTR_panels ? &k->panels : &k->barrier) = a->i == 1;
        return true;
    default:
        return set_prefetch(p, k, value, a);
    }
}

static bool parse_kernel(Parser *p) {
    TnKernel k = {.root = TN_NONE, .first = p->g->n, .line = p->line};
    p->kernel = p->g->n_kernels; /* set also if this line is faulty, for its `end` */
    p->kernel_bad = true;
    k.name = "bad";
    TN_PUSH(p->g->kernels, p->g->n_kernels, p->g->cap_kernels, k);
    if (!next(p)) return false;
    TnTok name = p->tok;
    if (!accept(p, TN_TOK_AT, "the kernel's @name")) return false;
    k.name = keep(&p->g->arena, &name);
    if (tn_map_set(&p->kernel_names, k.name, name.n, 0) != TN_MAP_NONE)
        return fail_at(p, name.col, "%s is the name of two kernels", tn_lex_shown(&name).s);
    if (!accept(p, '{', "'{'")) return false;
    uint32_t seen = 0;
    TnAttr a;
    TnTok value = p->tok;
    for (bool more = true; more;)
        if (!parse_attr(p, true, &a, &value, &seen, &more) || !set_kernel_attr(p, &k, &value, &a))
            return false;
    if (!at_end(p)) return false;
    if (!(seen >> TN_ATTR_root & 1))
        return fail_at(p, name.col, "kernel %s needs the attribute root", tn_lex_shown(&name).s);
    p->kernel_bad = false;
    p->g->kernels[p->kernel] = k;
    return true;
}

/* root=<op> names the kernel's first node of class ROOT; tn_verify checks whether there are others. */
static void close_kernel(Parser *p) {
    TnKernel *k = &p->g->kernels[p->kernel];
    p->kernel = TN_NONE;
    if (p->kernel_bad) return;
    if (!k->n) {
        fail_at(p, p->tok.col, "kernel @%s is empty", k->name);
        return;
    }
    for (TnRef r = k->first; r < k->first + k->n && k->root == TN_NONE; r++)
        if (tn_ops[p->g->nodes[r].op].class == TN_ROOT) k->root = r;
    if (!word_is(&p->root, k->root == TN_NONE ? "none" : tn_ops[p->g->nodes[k->root].op].name))
        fail_at(p, p->tok.col, "kernel @%s says root=%.*s, but its root is %s", k->name, (int)p->root.n,
                p->root.s, k->root == TN_NONE ? "none" : tn_ops[p->g->nodes[k->root].op].name);
}

/* ---- graphs */

static bool parse_batch_class(Parser *p, TnGraph *g) {
    TnTok t = p->tok, lo = t, hi = t;
    size_t dots = 0;
    while (dots + 1 < t.n && memcmp(t.s + dots, "..", 2) != 0) dots++;
    lo.n = dots;
    hi.s += dots + 2;
    hi.n = dots + 2 < t.n ? t.n - dots - 2 : 0;
    TernError err;
    if (t.kind != TN_TOK_WORD || !lo.n || !hi.n || tn_lex_int(&lo, &g->rows_lo, &err) != TERN_OK ||
        tn_lex_int(&hi, &g->rows_hi, &err) != TERN_OK || g->rows_lo < 1 || g->rows_hi < g->rows_lo)
        return expected(p, "rows such as 2..8");
    return next(p);
}

static bool parse_graph_fact(Parser *p, TnGraph *g, uint32_t *seen) {
    static const char *const keys[] = {"stage", "level", "kv", "rows"};
    uint32_t key = 0;
    while (key < 4 && !word_is(&p->tok, keys[key])) key++;
    if (key == 4) return expected(p, "stage=, level=, kv= or rows=");
    if (*seen >> key & 1) return fail_at(p, p->tok.col, "%s is given twice", keys[key]);
    *seen |= 1u << key;
    if (!next(p) || !accept(p, '=', "'='")) return false;
    switch (key) {
    case 0:
        if (!word_is(&p->tok, "model") && !word_is(&p->tok, "fused") && !word_is(&p->tok, "planned"))
            return expected(p, "model, fused or planned");
        g->stage = p->tok.s[0] == 'm'   ? TN_STAGE_MODEL
                   : p->tok.s[0] == 'f' ? TN_STAGE_FUSED
                                        : TN_STAGE_PLANNED;
        return next(p);
    case 1:
        if (p->tok.kind != TN_TOK_WORD || !tn_word_ok(p->tok.s, p->tok.n))
            return expected(p, "a feature level");
        g->level = keep(&g->arena, &p->tok);
        return next(p);
    case 2:
        for (g->kv = TN_KV_F16; g->kv < TN_KV_COUNT && !word_is(&p->tok, tn_kv_names[g->kv]);) g->kv++;
        if (g->kv == TN_KV_COUNT) {
            g->kv = TN_KV_UNSET;
            return expected(p, TN_KVTYPE_NAMES);
        }
        return next(p);
    default:
        return parse_batch_class(p, g);
    }
}

static bool parse_graph(Parser *p) {
    if (p->n_graphs == GRAPHS_MAX) {
        p->fatal = true;
        return fail_at(p, p->tok.col, "more than %d graphs", GRAPHS_MAX);
    }
    if (!next(p)) return false;
    TnTok name = p->tok;
    if (!accept(p, TN_TOK_AT, "the graph's @name")) return false;
    char text[TN_NAME_MAX + 1];
    memcpy(text, name.s, name.n);
    text[name.n] = '\0';
    p->g = tn_graph_create(text);
    p->g->file = tn_strdup(&p->g->arena, p->file);
    TN_PUSH(p->graphs, p->n_graphs, p->cap_graphs, p->g);
    uint32_t seen = 0;
    while (p->tok.kind != TN_TOK_END)
        if (!parse_graph_fact(p, p->g, &seen)) return false;
    if (!(seen & 1)) return fail_at(p, name.col, "graph %s needs stage=", tn_lex_shown(&name).s);
    return true;
}

static void close_graph(Parser *p) {
    tn_map_free(&p->broken);
    tn_map_free(&p->kernel_names);
    p->broken = p->kernel_names = (TnMap){0};
    p->g = NULL;
    p->kernel = TN_NONE;
}

/* ---- lines */

static void other_line(Parser *p) {
    if (word_is(&p->tok, "graph")) {
        if (p->g) {
            fail_at(p, p->tok.col, "graph inside graph @%s, whose end is missing", p->g->name);
            close_graph(p);
            p->bad = p->diag->n >= ERRORS_MAX; /* faults of this line itself are reported too */
        }
        if (!parse_graph(p) && !p->g) p->fatal = true; /* there is no graph for the lines that follow */
    } else if (word_is(&p->tok, "kernel")) {
        if (!p->g || p->kernel != TN_NONE)
            fail_at(p, p->tok.col,
                    p->g ? "kernel inside a kernel, whose end is missing" : "kernel outside of a graph");
        else
            parse_kernel(p);
    } else if (word_is(&p->tok, "end")) {
        if (!p->g) {
            fail_at(p, p->tok.col, "end outside of a graph");
            return;
        }
        if (p->kernel != TN_NONE)
            close_kernel(p);
        else
            close_graph(p);
        if (next(p)) at_end(p);
    } else {
        expected(p, p->g ? "a value, kernel or end" : "graph");
    }
}

static bool parse_version(Parser *p) {
    p->fatal = true;
    if (!word_is(&p->tok, "tir")) return expected(p, "'tir 1', the first line of a text");
    if (!next(p)) return false;
    if (!word_is(&p->tok, "1"))
        return fail_at(p, p->tok.col, "tir version %s, expected 1", tn_lex_shown(&p->tok).s);
    if (!next(p) || !at_end(p)) return false;
    p->fatal = false;
    return true;
}

static void parse_lines(Parser *p, const char *text, const char *end) {
    bool version = false;
    while (text < end && !p->fatal && p->diag->n < ERRORS_MAX) {
        const char *empty = text; /* a hostile text may be 2^30 empty lines */
        while (text < end && *text == '\n') text++;
        p->line += (uint32_t)(text - empty);
        if (text == end) break;
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        if (!stop) stop = end;
        p->line++;
        p->bad = false;
        p->lex = (TnLex){text, text, stop};
        text = stop < end ? stop + 1 : end;
        if (p->scratch.total > (1u << 20)) tn_arena_free(&p->scratch);
        if (!next(p)) {
            p->kernel_bad = true;
            continue;
        }
        if (p->tok.kind == TN_TOK_END) continue;
        if (!version)
            version = parse_version(p);
        else if (p->tok.kind == TN_TOK_VALUE || p->tok.kind == TN_TOK_WEIGHT)
            value_line(p);
        else
            other_line(p);
    }
    if (p->fatal || p->diag->n >= ERRORS_MAX) return;
    p->bad = false;
    p->line++;
    if (!version)
        fail_at(p, 1, "the text is empty, expected 'tir 1'");
    else if (p->g)
        fail_at(p, 1, "the text ends inside %s @%s", p->kernel != TN_NONE ? "kernel" : "graph",
                p->kernel != TN_NONE ? p->g->kernels[p->kernel].name : p->g->name);
    else if (!p->n_graphs)
        fail_at(p, 1, "the text holds no graph");
}

TernStatus tn_parse(const char *text, size_t n, const char *file, TnGraph ***out, uint32_t *out_n,
                    TnDiag *diag) {
    Parser *p = tn_xcalloc(1, sizeof *p);
    p->file = file ? file : "text";
    p->diag = diag;
    p->kernel = TN_NONE;
    uint32_t before = diag->n;
    size_t at = 0;
    TernError err;
    if (n > TEXT_MAX) {
        p->line = 1;
        fail_at(p, 1, "a text of %zu bytes, at most 2^30 are allowed", n);
    } else if (tn_lex_text(text, n, &at, &err) != TERN_OK) {
        uint32_t col;
        tn_lex_place(text, at, &p->line, &col);
        fail_at(p, col, "%s", err.text);
    } else {
        parse_lines(p, text, text + n);
    }
    bool ok = diag->n == before;
    if (!ok)
        for (uint32_t i = 0; i < p->n_graphs; i++) tn_graph_destroy(p->graphs[i]);
    *out = ok ? p->graphs : NULL;
    *out_n = ok ? p->n_graphs : 0;
    if (!ok) free(p->graphs);
    free(p->scales);
    tn_arena_free(&p->scratch);
    tn_map_free(&p->kernel_names);
    tn_map_free(&p->broken);
    free(p);
    return ok ? TERN_OK : TERN_ERR_INPUT;
}
