/* What all requests for text have in common: the model, how ids are picked, where an answer ends, what it may be. */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/serve/serve.h"

enum { CHOICES_MOST = 128, STOPS_MOST = 256, BIASES_MOST = 4096, NAMES_MOST = 240 };

#define AT(field) offsetof(TnTextParams, field)
const TnParam tn_text_params[] = {
    {"model", TN_PARAM_TEXT, AT(model), 0, 0, NULL},
    {"stream", TN_PARAM_BOOL, AT(stream), 0, 0, NULL},
    {"stream_options", TN_PARAM_NODE, AT(stream_options), 0, 0, NULL},
    {"n", TN_PARAM_INT, AT(n), 1, CHOICES_MOST, NULL},
    {"max_tokens", TN_PARAM_INT, AT(max_tokens), -1, 1e9, NULL},
    {"temperature", TN_PARAM_REAL, AT(temperature), 0, 100, NULL},
    {"top_p", TN_PARAM_REAL, AT(top_p), 0, 1, NULL},
    {"top_k", TN_PARAM_INT, AT(top_k), -1, 1e9, NULL},
    {"min_p", TN_PARAM_REAL, AT(min_p), 0, 1, NULL},
    {"repeat_penalty", TN_PARAM_REAL, AT(repeat_penalty), 1e-6, 1e6, NULL},
    {"repeat_last_n", TN_PARAM_INT, AT(repeat_last_n), 0, 1e6, NULL},
    {"seed", TN_PARAM_INT, AT(seed), -1, TN_SEED_MOST, NULL},
    {"stop", TN_PARAM_NODE, AT(stop), 0, 0, NULL},
    {"logit_bias", TN_PARAM_NODE, AT(logit_bias), 0, 0, NULL},
    {"response_format", TN_PARAM_NODE, AT(response_format), 0, 0, NULL},
    {"json_schema", TN_PARAM_NODE, AT(json_schema), 0, 0, NULL},
    {"grammar", TN_PARAM_NODE, AT(grammar), 0, 0, NULL},
    {"ignore_eos", TN_PARAM_BOOL, AT(ignore_eos), 0, 0, NULL},
    {"frequency_penalty", TN_PARAM_REAL, AT(frequency_penalty), -2, 2, NULL},
    {"presence_penalty", TN_PARAM_REAL, AT(presence_penalty), -2, 2, NULL},
    {"service_tier", TN_PARAM_ONLY, 0, 0, 0, "\"auto\" \"default\""},
    {"store", TN_PARAM_ONLY, 0, 0, 0, "false"},
    {"cache_prompt", TN_PARAM_ANY, 0, 0, 0, NULL}, /* an answer is the same with and without */
    {"user", TN_PARAM_ANY, 0, 0, 0, NULL},
    {"metadata", TN_PARAM_ANY, 0, 0, 0, NULL},
    {"safety_identifier", TN_PARAM_ANY, 0, 0, 0, NULL},
    {"prompt_cache_key", TN_PARAM_ANY, 0, 0, 0, NULL},
    {NULL, TN_PARAM_ANY, 0, 0, 0, NULL},
};

void tn_plan_defaults(const TnServer *server, TnTextParams *p) {
    const TnServeOptions *o = server->o;
    *p = (TnTextParams){.n = 1,
                        .max_tokens = o->max_tokens ? (int64_t)o->max_tokens : -1,
                        .temperature = (double)o->sampler.temp,
                        .top_k = o->sampler.top_k,
                        .top_p = (double)o->sampler.top_p,
                        .min_p = (double)o->sampler.min_p,
                        .repeat_penalty = (double)o->sampler.repeat_penalty,
                        .repeat_last_n = o->sampler.repeat_last_n,
                        .frequency_penalty = (double)o->sampler.frequency_penalty,
                        .presence_penalty = (double)o->sampler.presence_penalty,
                        .seed = -1,
                        .stop_name = "stop",
                        .max_name = "max_tokens"};
}

TnServeModel *tn_plan_model(TnCall *call, TernText name) {
    const TnServeOptions *o = call->server->o;
    if (!name.data) return &o->models[0];
    for (size_t i = 0; i < o->n_models; i++)
        if (strlen(o->models[i].name) == name.size && memcmp(o->models[i].name, name.data, name.size) == 0)
            return &o->models[i];
    TnBuf names = {0};
    for (size_t i = 0; i < o->n_models && names.len < NAMES_MOST; i++)
        tn_buf_printf(&names, "%s%.80s",
                      i == 0                 ? ""
                      : i + 1 == o->n_models ? " or "
                                             : ", ",
                      o->models[i].name);
    if (names.len >= NAMES_MOST) tn_buf_puts(&names, " .. (GET /v1/models)");
    tn_buf_put(&names, "", 1);
    tn_call_refuse(call, 404, "model_not_found", "model", "model: got '%.*s', expected %s",
                   (int)(name.size < 80 ? name.size : 80), name.data, names.data);
    tn_buf_free(&names);
    return NULL;
}

/* ---- Ends */

static bool take_stop(TnCall *call, const TnJsonNode *v, TernText *to, const char *param) {
    if (v->kind != TN_JSON_STRING) return tn_param_wrong(call, param, v, "a string");
    *to = (TernText){tn_strndup(&call->arena, v->text, v->size), v->size};
    return true;
}

static bool take_stops(TnCall *call, const TnJsonNode *v, const char *name) {
    bool list = v && v->kind == TN_JSON_ARRAY;
    size_t n = list ? v->n : v ? 1 : 0, i = 0;
    TernError err = {0};
    TernStops *tried;
    if (n > STOPS_MOST)
        return tn_call_refuse(call, 400, "invalid_value", name, "%s: got %zu strings, expected at most %d",
                              name, n, STOPS_MOST);
    TernText *stops = tn_alloc_array(&call->arena, n + 1, sizeof *stops);
    if (v && !list && !take_stop(call, v, &stops[0], name)) return false;
    for (const TnJsonNode *item = list ? v->first : NULL; item; item = item->next, i++) {
        char param[60];
        snprintf(param, sizeof param, "%.20s[%zu]", name, i);
        if (!take_stop(call, item, &stops[i], param)) return false;
    }
    if (tern_stops_create(stops, n, &tried, &err) != TERN_OK)
        return tn_call_refuse(call, 400, "invalid_value", name, "%s: %s", name, err.text);
    tern_stops_destroy(tried);
    call->plan.stops = stops;
    call->plan.n_stops = n;
    return true;
}

/* ---- Biases: {"15": -100} */

static bool take_bias(TnCall *call, const TnJsonNode *m, uint32_t n_vocab, TernLogitBias *out) {
    char param[60], *end, expected[80];
    snprintf(param, sizeof param, "logit_bias.%.40s", m->key);
    long long id = strtoll(m->key, &end, 10);
    if (end == m->key || *end || id < 0 || id >= n_vocab)
        return tn_call_refuse(call, 400, "invalid_value", param,
                              "logit_bias: got the token '%.40s', expected an id from 0 to %u", m->key,
                              n_vocab - 1);
    double x = m->kind == TN_JSON_INT || m->kind == TN_JSON_REAL ? strtod(m->text, NULL) : NAN;
    snprintf(expected, sizeof expected, "a number from -100 (never) to 100");
    if (!(x >= -100 && x <= 100)) return tn_param_wrong(call, param, m, expected);
    *out = (TernLogitBias){(int32_t)id, x == -100 ? -INFINITY : (float)x};
    return true;
}

static bool take_biases(TnCall *call, const TnJsonNode *v) {
    TernSamplerOptions *s = &call->plan.sampler;
    if (!v || v->n == 0)
        return !v || v->kind == TN_JSON_OBJECT || tn_param_wrong(call, "logit_bias", v, "an object");
    if (v->kind != TN_JSON_OBJECT)
        return tn_param_wrong(call, "logit_bias", v, "an object of token ids with numbers");
    if (v->n > BIASES_MOST)
        return tn_call_refuse(call, 400, "invalid_value", "logit_bias",
                              "logit_bias: got %zu tokens, expected at most %d", v->n, BIASES_MOST);
    TernLogitBias *biases = tn_alloc_array(&call->arena, v->n, sizeof *biases);
    for (const TnJsonNode *m = v->first; m; m = m->next)
        if (!take_bias(call, m, call->plan.model->info.n_vocab, &biases[s->n_bias++])) return false;
    s->bias = biases;
    return true;
}

/* ---- Grammars */

bool tn_plan_grammar(TnCall *call, const char *param, const char *text, size_t n) {
    TernError err = {0};
    const TernVocab *vocab = call->plan.model->vocab;
    if (call->plan.grammar)
        return tn_call_refuse(call, 400, "invalid_value", param, "%s: goes with no other grammar or schema",
                              param);
    if (!vocab)
        return tn_call_refuse(call, 400, "unsupported_parameter", param, "%s: the model has no tokenizer",
                              param);
    if (tern_grammar_create(vocab, text, n, &call->plan.grammar, &err) == TERN_OK) return true;
    return tn_call_refuse(call, 400, "invalid_value", param, "%s: %s", param, err.text);
}

bool tn_plan_schema(TnCall *call, const char *param, const char *json, size_t n) {
    TernError err = {0};
    char *text;
    size_t size;
    TernStatus st = tern_grammar_of_schema(json, n, &text, &size, &err);
    if (st != TERN_OK)
        return tn_call_refuse(call, 400, st == TERN_ERR_UNSUPPORTED ? "unsupported_value" : "invalid_value",
                              param, "%s: %s", param, err.text);
    bool ok = tn_plan_grammar(call, param, text, size);
    free(text);
    return ok;
}

bool tn_plan_schema_node(TnCall *call, const char *param, const TnJsonNode *v) {
    TnBuf json = {0};
    if (v->kind != TN_JSON_OBJECT && v->kind != TN_JSON_TRUE && v->kind != TN_JSON_FALSE)
        return tn_param_wrong(call, param, v, "a JSON schema: an object");
    tn_json_print(v, &json);
    bool ok = tn_plan_schema(call, param, json.data, json.len);
    tn_buf_free(&json);
    return ok;
}

typedef struct Format {
    TernText type;
    const TnJsonNode *schema; /* the member json_schema */
} Format;
static const TnParam format_params[] = {
    {"type", TN_PARAM_TEXT, offsetof(Format, type), 0, 0, NULL},
    {"json_schema", TN_PARAM_NODE, offsetof(Format, schema), 0, 0, NULL},
    {NULL, TN_PARAM_ANY, 0, 0, 0, NULL},
};
typedef struct Named {
    const TnJsonNode *schema;
} Named;
static const TnParam named_params[] = {
    {"name", TN_PARAM_ANY, 0, 0, 0, NULL},
    {"description", TN_PARAM_ANY, 0, 0, 0, NULL},
    {"strict", TN_PARAM_ANY, 0, 0, 0, NULL}, /* an answer always is by the schema */
    {"schema", TN_PARAM_NODE, offsetof(Named, schema), 0, 0, NULL},
    {NULL, TN_PARAM_ANY, 0, 0, 0, NULL},
};

static bool is(TernText t, const char *word) {
    return t.size == strlen(word) && memcmp(t.data, word, t.size) == 0;
}

static bool take_format(TnCall *call, const TnJsonNode *v) {
    Format f = {.schema = NULL};
    Named named = {NULL};
    const TnParam *const table = format_params, *const names = named_params;
    if (v->kind != TN_JSON_OBJECT) return tn_param_wrong(call, "response_format", v, "an object with type");
    if (!tn_params_read(call, v, "response_format.", &table, 1, &f)) return false;
    if (f.type.data && is(f.type, "text") && !f.schema) return true;
    if (f.type.data && is(f.type, "json_object") && !f.schema)
        return tn_plan_schema(call, "response_format", "{\"type\": \"object\"}", 18);
    if (!f.type.data || !is(f.type, "json_schema") || !f.schema || f.schema->kind != TN_JSON_OBJECT)
        return tn_call_refuse(
            call, 400, "invalid_value", "response_format",
            "response_format: expected the type text, json_object, or json_schema with a member "
            "json_schema");
    if (!tn_params_read(call, f.schema, "response_format.json_schema.", &names, 1, &named)) return false;
    if (!named.schema)
        return tn_call_refuse(call, 400, "invalid_value", "response_format.json_schema.schema",
                              "response_format.json_schema.schema: is missing, expected a JSON schema");
    return tn_plan_schema_node(call, "response_format.json_schema.schema", named.schema);
}

static bool take_grammar(TnCall *call, const TnTextParams *p) {
    if (p->response_format && !take_format(call, p->response_format)) return false;
    if (p->json_schema && !tn_plan_schema_node(call, "json_schema", p->json_schema)) return false;
    if (p->grammar && p->grammar->kind != TN_JSON_STRING)
        return tn_param_wrong(call, "grammar", p->grammar, "a string of GBNF");
    if (p->grammar && !tn_plan_grammar(call, "grammar", p->grammar->text, p->grammar->size)) return false;
    if (call->plan.grammar && p->ignore_eos)
        return tn_call_refuse(call, 400, "invalid_value", "ignore_eos",
                              "ignore_eos: goes with no grammar or schema");
    return true;
}

/* ---- The plan */

static const TnParam stream_params[] = {
    {"include_usage", TN_PARAM_BOOL, offsetof(TnPlan, include_usage), 0, 0, NULL},
    {"include_obfuscation", TN_PARAM_ONLY, 0, 0, 0, "false"},
    {NULL, TN_PARAM_ANY, 0, 0, 0, NULL},
};

static bool take_stream(TnCall *call, const TnTextParams *p) {
    const TnParam *const table = stream_params;
    call->plan.stream = p->stream;
    if (!p->stream_options) return true;
    if (!p->stream)
        return tn_call_refuse(call, 400, "invalid_value", "stream_options",
                              "stream_options: goes with stream true");
    if (p->stream_options->kind != TN_JSON_OBJECT)
        return tn_param_wrong(call, "stream_options", p->stream_options, "an object");
    return tn_params_read(call, p->stream_options, "stream_options.", &table, 1, &call->plan);
}

static bool take_sampler(TnCall *call, const TnTextParams *p) {
    TernSamplerOptions *s = &call->plan.sampler;
    TernSampler *tried;
    TernError err = {0};
    *s = call->server->o->sampler;
    s->temp = (float)p->temperature;
    s->top_k = (int32_t)p->top_k;
    s->top_p = (float)p->top_p;
    s->min_p = (float)p->min_p;
    s->repeat_penalty = (float)p->repeat_penalty;
    s->frequency_penalty = (float)p->frequency_penalty;
    s->presence_penalty = (float)p->presence_penalty;
    s->repeat_last_n = (int32_t)p->repeat_last_n;
    s->seed = p->seed < 0 ? s->seed : (uint64_t)p->seed;
    if (!take_biases(call, p->logit_bias)) return false;
    if (tern_sampler_create(s, call->plan.model->info.n_vocab, &tried, &err) != TERN_OK)
        return tn_call_refuse(call, 400, "invalid_value", NULL, "%s", err.text);
    tern_sampler_destroy(tried);
    return true;
}

bool tn_plan_take(TnCall *call, const TnTextParams *p) {
    TnPlan *plan = &call->plan;
    plan->model = tn_plan_model(call, p->model);
    if (!plan->model) return false;
    if (!plan->model->texts)
        return tn_call_refuse(call, 400, "unsupported_model", "model", "model: '%s' makes vectors, not text",
                              plan->model->name);
    plan->n = p->n;
    plan->ignore_eos = p->ignore_eos;
    plan->max_tokens = p->max_tokens;
    if (p->max_tokens == 0)
        return tn_call_refuse(call, 400, "invalid_value", p->max_name,
                              "%s: got 0, expected at least 1, or -1: no bound", p->max_name);
    if (p->stop && !plan->model->vocab)
        return tn_call_refuse(call, 400, "unsupported_parameter", "stop", "stop: the model has no tokenizer");
    /* the stream is taken last: what is refused before it is answered as a whole */
    return take_sampler(call, p) && take_stops(call, p->stop, p->stop_name) && take_grammar(call, p) &&
           take_stream(call, p);
}

const int32_t *tn_plan_encode(TnCall *call, TernText text, bool add, bool special, size_t *out_n) {
    const TernVocab *vocab = call->plan.model->vocab;
    TernError err = {0};
    uint32_t flags = (add ? TERN_ENCODE_ADD_SPECIAL : 0) | (special ? TERN_ENCODE_PARSE_SPECIAL : 0);
    if (!vocab) {
        tn_call_refuse(call, 400, "unsupported_model", "model", "the model has no tokenizer, expected ids");
        return NULL;
    }
    size_t most = tern_encode_most(vocab, text.size);
    int32_t *ids = tn_alloc_array(&call->arena, most + 1, sizeof *ids);
    if (tern_encode(vocab, text.data, text.size, flags, ids, most, out_n, &err) == TERN_OK) return ids;
    tn_call_refuse(call, 400, "invalid_value", NULL, "%s", err.text);
    return NULL;
}

const int32_t *tn_plan_ids(TnCall *call, const TnJsonNode *list, const char *param, uint32_t n_vocab) {
    char place[72], expected[60];
    size_t n = 0;
    if (list->kind != TN_JSON_ARRAY) {
        tn_param_wrong(call, param, list, "a list of token ids");
        return NULL;
    }
    int32_t *ids = tn_alloc_array(&call->arena, list->n + 1, sizeof *ids);
    for (const TnJsonNode *v = list->first; v; v = v->next) {
        long long id = v->kind == TN_JSON_INT ? strtoll(v->text, NULL, 10) : -1;
        snprintf(place, sizeof place, "%.40s[%zu]", param, n);
        snprintf(expected, sizeof expected, "a token id from 0 to %u", n_vocab - 1);
        if (id < 0 || id >= n_vocab) {
            tn_param_wrong(call, place, v, expected);
            return NULL;
        }
        ids[n++] = (int32_t)id;
    }
    return ids;
}

bool tn_plan_prompt(TnCall *call, const int32_t *ids, size_t n_ids, const char *param) {
    const TnServeModel *model = call->plan.model;
    if (n_ids == 0)
        return tn_call_refuse(call, 400, "invalid_value", param, "%s: has no tokens, and the model adds none",
                              param);
    if (n_ids >= model->context)
        return tn_call_refuse(call, 400, "context_length_exceeded", param,
                              "%s: has %zu tokens, expected at most %u: the context has %u positions", param,
                              n_ids, model->context - 1, model->context);
    if (call->n_choices + (size_t)call->plan.n > CHOICES_MOST)
        return tn_call_refuse(call, 400, "invalid_value", param,
                              "%s: got prompts for more than %d answers, expected at most that", param,
                              CHOICES_MOST);
    size_t n = call->n_choices + (size_t)call->plan.n;
    call->choices = tn_xrealloc(call->choices, n * sizeof *call->choices);
    for (int64_t i = 0; i < call->plan.n; i++) {
        uint64_t seed = call->plan.sampler.seed;
        TnChoice c = {.call = call, .ids = ids, .n_ids = n_ids};
        c.seed = seed == TERN_SEED_RANDOM ? seed : seed + (uint64_t)i;
        call->choices[call->n_choices++] = c;
    }
    return true;
}
