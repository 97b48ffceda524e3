/* POST /tokenize and /detokenize. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/serve/serve.h"
#include "runtime/base/escape.h"

typedef struct Params {
    TernText model, content;
    bool add_special, parse_special, with_pieces;
    const TnJsonNode *tokens;
} Params;
#define AT(field) offsetof(Params, field)
#define END                                                                                                  \
    { NULL, TN_PARAM_ANY, 0, 0, 0, NULL }

static void answer(TnCall *call, TnBuf *out) {
    tn_buf_puts(out, "}\n");
    tn_call_answer(call, 200, "application/json", out->data, out->len);
    tn_buf_free(out);
}

/* Bytes that are no characters by themselves are given as numbers, as llama-server does. */
static void put_piece(TnBuf *out, TernText t) {
    bool whole = true;
    for (size_t at = 0, n; at < t.size && whole; at += n)
        whole = (n = tn_utf8(t.data + at, t.size - at)) != 0;
    if (whole) {
        tn_json_print_string(t.data, t.size, out);
        return;
    }
    for (size_t i = 0; i < t.size; i++)
        tn_buf_printf(out, "%s%u", i ? ", " : "[", (unsigned)(unsigned char)t.data[i]);
    tn_buf_puts(out, "]");
}

void tn_route_tokenize(TnCall *call) {
    static const TnParam table[] = {
        {"model", TN_PARAM_TEXT, AT(model), 0, 0, NULL},
        {"content", TN_PARAM_TEXT, AT(content), 0, 0, NULL},
        {"add_special", TN_PARAM_BOOL, AT(add_special), 0, 0, NULL},
        {"parse_special", TN_PARAM_BOOL, AT(parse_special), 0, 0, NULL},
        {"with_pieces", TN_PARAM_BOOL, AT(with_pieces), 0, 0, NULL},
        END,
    };
    const TnParam *const tables = table;
    Params p = {.parse_special = true};
    TnBuf out = {0};
    size_t n = 0;
    if (!tn_params_read(call, call->json, "", &tables, 1, &p)) return;
    if (!p.content.data) {
        tn_call_refuse(call, 400, "missing_parameter", "content", "content: is missing, expected a string");
        return;
    }
    call->plan.model = tn_plan_model(call, p.model);
    if (!call->plan.model) return;
    const int32_t *ids = tn_plan_encode(call, p.content, p.add_special, p.parse_special, &n);
    if (!ids) return;
    tn_buf_puts(&out, "{\"tokens\": [");
    for (size_t i = 0; i < n; i++) {
        tn_buf_puts(&out, i ? ", " : "");
        tn_buf_printf(&out, p.with_pieces ? "{\"id\": %d, \"piece\": " : "%d", ids[i]);
        if (!p.with_pieces) continue;
        put_piece(&out, tern_token_get_bytes(call->plan.model->vocab, ids[i]));
        tn_buf_puts(&out, "}");
    }
    tn_buf_puts(&out, "]");
    answer(call, &out);
}

void tn_route_detokenize(TnCall *call) {
    static const TnParam table[] = {
        {"model", TN_PARAM_TEXT, AT(model), 0, 0, NULL},
        {"tokens", TN_PARAM_NODE, AT(tokens), 0, 0, NULL},
        END,
    };
    const TnParam *const tables = table;
    Params p = {.tokens = NULL};
    TernError err = {0};
    TnBuf out = {0};
    size_t n = 0;
    if (!tn_params_read(call, call->json, "", &tables, 1, &p)) return;
    const TnServeModel *model = tn_plan_model(call, p.model);
    if (!model) return;
    if (!model->vocab) {
        tn_call_refuse(call, 400, "unsupported_model", "model", "model: '%s' has no tokenizer", model->name);
        return;
    }
    if (!p.tokens) {
        tn_call_refuse(call, 400, "missing_parameter", "tokens",
                       "tokens: is missing, expected a list of token ids");
        return;
    }
    const int32_t *ids = tn_plan_ids(call, p.tokens, "tokens", tern_vocab_get_facts(model->vocab).n_tokens);
    if (!ids) return;
    if (tern_decode(model->vocab, ids, p.tokens->n, TERN_DECODE_CONTROL, NULL, 0, &n, &err) != TERN_OK) {
        tn_call_refuse(call, 400, "invalid_value", "tokens", "%s", err.text);
        return;
    }
    char *text = tn_alloc(&call->arena, n + 1);
    if (n) tern_decode(model->vocab, ids, p.tokens->n, TERN_DECODE_CONTROL, text, n, &n, &err);
    tn_buf_puts(&out, "{\"content\": ");
    tn_put_string(&out, text, n);
    answer(call, &out);
}
