/* Reads the flags about what an answer may be (constrain.h). */
#include "frontends/cli/constrain.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/base/status.h"

enum { GRAMMAR_MOST = 1 << 24 };

/* ---- Biases: ID+X, ID-X, ID-inf */

static bool read_bias(const char *text, TernLogitBias *out) {
    char id[16];
    size_t n = strcspn(text, "+-");
    int64_t whole;
    double x;
    if (n == 0 || n >= sizeof id || !text[n]) return false;
    memcpy(id, text, n);
    id[n] = '\0';
    if (!read_whole(id, 0, INT32_MAX, &whole)) return false;
    out->id = (int32_t)whole;
    out->bias = -INFINITY;
    if (strcmp(text + n, "-inf") == 0) return true;
    if (!read_number(text + n + 1, 0, 1e9, &x)) return false;
    out->bias = (float)(text[n] == '-' ? -x : x);
    return true;
}

static void exclude(const Verb *verb, const void *a, const void *b) {
    if (flag_given(a) && flag_given(b))
        usage_error(verb, "%s and %s exclude each other", flag_given(a), flag_given(b));
}

void constraint_parse(const Verb *verb, const ConstrainFlags *f, const GenerateFlags *g, Constraint *c) {
    exclude(verb, &f->grammar, &f->schema);
    exclude(verb, &f->grammar, &g->ignore_eos);
    exclude(verb, &f->schema, &g->ignore_eos);
    for (uint32_t i = 0; i < f->biases.n; i++)
        if (!read_bias(f->biases.v[i], &c->bias[c->n_bias++]))
            usage_error(verb, "%s: '%s', expected ID+X, ID-X or ID-inf", flag_given(&f->biases),
                        f->biases.v[i]);
    for (uint32_t i = 0; i < f->stops.n; i++)
        c->stops[c->n_stops++] = (TernText){f->stops.v[i], strlen(f->stops.v[i])};
    c->special = f->special;
}

/* ---- Grammars */

/* "line L, column C: .." becomes "FILE:L:C: ..", below which the line is shown. */
static int fail_at(const char *path, const TernError *err) {
    unsigned line, column;
    int n = 0;
    if (sscanf(err->text, "line %u, column %u: %n", &line, &column, &n) != 2 || n == 0)
        return fail_text("%s: %s", path, err->text);
    known_text(path);
    return fail_text("%s:%u:%u: %s", path, line, column, err->text + n);
}

/* Reads the file, and makes a grammar of a schema. */
static int read_grammar(const ConstrainFlags *f, Constraint *c) {
    TernError err = {0};
    char *text = NULL, *made = NULL;
    size_t n, n_made;
    const char *path = f->grammar ? f->grammar : f->schema;
    if (read_text_file(path, GRAMMAR_MOST, &text, &n, &err) != TERN_OK) return fail(&err);
    TernStatus st = f->schema ? tern_grammar_of_schema(text, n, &made, &n_made, &err) : TERN_OK;
    if (st == TERN_OK) tn_buf_put(&c->text, made ? made : text, made ? n_made : n);
    free(text);
    free(made);
    return st == TERN_OK ? EXIT_OK : fail_text("%s: %s", path, err.text);
}

int constraint_open(const ConstrainFlags *f, const TernVocab *vocab, Constraint *c) {
    TernError err = {0};
    const void *const needy[] = {&f->grammar, &f->schema, &f->stops, &f->special};
    for (size_t i = 0; i < TN_COUNT(needy) && !vocab; i++)
        if (flag_given(needy[i]))
            return fail_text("the model has no tokenizer, which %s needs", flag_given(needy[i]));
    if (!f->grammar && !f->schema) return EXIT_OK;
    if (!c->text.len) {
        int code = read_grammar(f, c);
        if (code != EXIT_OK) return code;
    }
    if (tern_grammar_create(vocab, c->text.data, c->text.len, &c->grammar, &err) == TERN_OK) return EXIT_OK;
    return f->grammar ? fail_at(f->grammar, &err) : fail_text("%s: %s", f->schema, err.text);
}

int constraint_check(const Constraint *c, const GenerateFlags *g, const TernModelInfo *info) {
    TernError err = {0};
    TernSamplerOptions so = sampler_of_flags(g);
    TernRequest r = TERN_REQUEST;
    TernSampler *sampler;
    TernStops *stops;
    constraint_apply(c, &r, &so);
    if (tern_sampler_create(&so, info->n_vocab, &sampler, &err) != TERN_OK) return fail(&err);
    tern_sampler_destroy(sampler);
    if (tern_stops_create(r.stops, r.n_stops, &stops, &err) != TERN_OK)
        return fail_text("%s: %s", flag_typed("-r --stop"), err.text);
    tern_stops_destroy(stops);
    return EXIT_OK;
}

void constraint_close(Constraint *c) {
    tern_grammar_destroy(c->grammar);
    c->grammar = NULL;
}

void constraint_free(Constraint *c) {
    constraint_close(c);
    tn_buf_free(&c->text);
}

void constraint_apply(const Constraint *c, TernRequest *r, TernSamplerOptions *sampler) {
    sampler->bias = c->n_bias ? c->bias : NULL;
    sampler->n_bias = c->n_bias;
    r->stops = c->stops;
    r->n_stops = c->n_stops;
    r->special = c->special;
    r->grammar = c->grammar;
}
