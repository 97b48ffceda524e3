/* POST /v1/embeddings: a vector for each text. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/serve/serve.h"

enum { TEXTS_MOST = 2048 };

typedef struct Params {
    TernText model, encoding;
    const TnJsonNode *input;
    int64_t dimensions;
} Params;
#define AT(field) offsetof(Params, field)
static const TnParam params[] = {
    {"model", TN_PARAM_TEXT, AT(model), 0, 0, NULL},
    {"input", TN_PARAM_NODE, AT(input), 0, 0, NULL},
    {"encoding_format", TN_PARAM_TEXT, AT(encoding), 0, 0, NULL},
    {"dimensions", TN_PARAM_INT, AT(dimensions), 1, 1e6, NULL},
    {"user", TN_PARAM_ANY, 0, 0, 0, NULL},
    {NULL, TN_PARAM_ANY, 0, 0, 0, NULL},
};

/* ---- The answer */

static void put_base64(TnBuf *out, const unsigned char *v, size_t n) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        unsigned b =
            (unsigned)v[i] << 16 | (i + 1 < n ? (unsigned)v[i + 1] << 8 : 0) | (i + 2 < n ? v[i + 2] : 0);
        char four[4] = {digits[b >> 18], digits[b >> 12 & 63], i + 1 < n ? digits[b >> 6 & 63] : '=',
                        i + 2 < n ? digits[b & 63] : '='};
        tn_buf_put(out, four, 4);
    }
}

static int take_vector(void *user, const TernVector *v) {
    TnCall *call = user;
    TnBuf *out = &call->making;
    size_t index = call->embed.done + v->text;
    if (v->row == 0) {
        tn_buf_printf(out, "%s{\"object\": \"embedding\", \"index\": %zu, \"embedding\": ", index ? ", " : "",
                      index);
        call->embed.n_ids += v->n_ids;
    }
    if (call->embed.base64) {
        tn_buf_puts(out, "\"");
        put_base64(out, (const unsigned char *)v->x, v->n * sizeof *v->x);
        tn_buf_puts(out, "\"}");
        return 0;
    }
    for (uint32_t i = 0; i < v->n; i++) tn_buf_printf(out, "%s%.9g", i ? ", " : "[", (double)v->x[i]);
    tn_buf_puts(out, "]}");
    return 0;
}

static void finish(TnCall *call, TnBuf *out) {
    const char *name = call->plan.model->name;
    TnBuf data = *out;
    *out = (TnBuf){0};
    tn_buf_puts(out, "{\"object\": \"list\", \"data\": [");
    tn_buf_put(out, data.data, data.len);
    tn_buf_puts(out, "], \"model\": ");
    tn_put_string(out, name, strlen(name));
    tn_buf_printf(out, ", \"usage\": {\"prompt_tokens\": %zu, \"total_tokens\": %zu}}\n", call->embed.n_ids,
                  call->embed.n_ids);
    tn_buf_free(&data);
}
static const TnShape shape = {.vector = take_vector, .finish = finish};

/* ---- The texts */

static bool add_text(TnCall *call, const int32_t *ids, size_t n, const char *param) {
    const TnServeModel *model = call->plan.model;
    if (n == 0)
        return tn_call_refuse(call, 400, "invalid_value", param, "%s: has no tokens, and the model adds none",
                              param);
    if (n > model->embed_context)
        return tn_call_refuse(call, 400, "context_length_exceeded", param,
                              "%s: has %zu tokens, expected at most %u", param, n, model->embed_context);
    call->embed.texts[call->embed.n++] =
        (TernEmbedText){.size = sizeof(TernEmbedText), .ids = ids, .n_ids = n};
    return true;
}

static bool add_ids(TnCall *call, const TnJsonNode *list, const char *param) {
    const int32_t *ids = tn_plan_ids(call, list, param, call->plan.model->info.n_vocab);
    return ids && add_text(call, ids, list->n, param);
}

static bool add_input(TnCall *call, const TnJsonNode *v, const char *param) {
    size_t n = 0;
    if (v->kind == TN_JSON_ARRAY) return add_ids(call, v, param);
    if (v->kind != TN_JSON_STRING) return tn_param_wrong(call, param, v, "a string or a list of token ids");
    const int32_t *ids = tn_plan_encode(call, (TernText){v->text, v->size}, true, false, &n);
    return ids && add_text(call, ids, n, param);
}

static bool add_inputs(TnCall *call, const TnJsonNode *v) {
    bool many = v && v->kind == TN_JSON_ARRAY && v->first && v->first->kind != TN_JSON_INT;
    size_t i = 0, n = many ? v->n : 1;
    if (!v)
        return tn_call_refuse(call, 400, "missing_parameter", "input",
                              "input: is missing, expected a string");
    if (n > TEXTS_MOST)
        return tn_call_refuse(call, 400, "invalid_value", "input",
                              "input: got %zu texts, expected at most %d", n, TEXTS_MOST);
    call->embed.texts = tn_alloc_array(&call->arena, n, sizeof *call->embed.texts);
    if (!many) return add_input(call, v, "input");
    for (const TnJsonNode *one = v->first; one; one = one->next, i++) {
        char param[40];
        snprintf(param, sizeof param, "input[%zu]", i);
        if (!add_input(call, one, param)) return false;
    }
    return true;
}

static bool take_form(TnCall *call, const Params *p) {
    const TernText e = p->encoding;
    const TnServeModel *model = call->plan.model;
    call->embed.base64 = e.size == 6 && memcmp(e.data, "base64", 6) == 0;
    if (e.data && !call->embed.base64 && !(e.size == 5 && memcmp(e.data, "float", 5) == 0))
        return tn_call_refuse(call, 400, "invalid_value", "encoding_format",
                              "encoding_format: got '%.*s', expected float or base64",
                              (int)(e.size < 40 ? e.size : 40), e.data);
    if (p->dimensions && p->dimensions != model->info.n_hidden)
        return tn_call_refuse(call, 400, "unsupported_value", "dimensions",
                              "dimensions: got %lld, which is not supported, expected %u, the model's",
                              (long long)p->dimensions, model->info.n_hidden);
    return true;
}

void tn_route_embeddings(TnCall *call) {
    const TnParam *const table = params;
    Params p = {.input = NULL};
    if (!tn_params_read(call, call->json, "", &table, 1, &p)) return;
    call->plan.model = tn_plan_model(call, p.model);
    if (!call->plan.model) return;
    call->plan.shape = &shape;
    if (!call->plan.model->vectors) {
        tn_call_refuse(call, 400, "unsupported_model", "model",
                       "model: '%s' makes no vectors: its file does not say how, and the server was started "
                       "without --pooling",
                       call->plan.model->name);
        return;
    }
    if (take_form(call, &p) && add_inputs(call, p.input)) tn_engine_submit(call);
}
