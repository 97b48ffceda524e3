#include "support/scripted.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/base/arena.h"
#include "support/gguf_write.h"

enum { CONTEXT = 2048, HEAD = 64, FFN = 64, NONE = -1 };

typedef struct Token {
    TnScriptedKind kind;
    char *bytes;
    size_t size;
} Token;

typedef struct Rule {
    int32_t when, next; /* when: a token, or NONE */
    float logit;
} Rule;

typedef struct Rules {
    Rule *v;
    size_t n, cap;
} Rules;

struct TnScripted {
    Token *tokens;
    size_t n, cap;
    Rules after, during;
    bool sealed; /* an id of a byte was given out */
    char *chat_template;
};

TnScripted *tn_scripted_create(void) {
    return tn_xcalloc(1, sizeof(TnScripted));
}

void tn_scripted_destroy(TnScripted *s) {
    if (!s) return;
    for (size_t i = 0; i < s->n; i++) free(s->tokens[i].bytes);
    free(s->tokens);
    free(s->after.v);
    free(s->during.v);
    free(s->chat_template);
    free(s);
}

static bool is_control(TnScriptedKind kind) {
    return kind == TN_SCRIPTED_CONTROL || kind == TN_SCRIPTED_END;
}

/* A token that is not a piece, or NONE. */
static int32_t find(const TnScripted *s, bool control, const char *bytes, size_t size) {
    for (size_t i = 0; i < s->n; i++) {
        const Token *t = &s->tokens[i];
        if (t->kind != TN_SCRIPTED_PIECE && is_control(t->kind) == control && t->size == size &&
            memcmp(t->bytes, bytes, size) == 0)
            return (int32_t)i;
    }
    return NONE;
}

int32_t tn_scripted_token(TnScripted *s, TnScriptedKind kind, const char *bytes, size_t size) {
    int32_t id = kind == TN_SCRIPTED_PIECE ? NONE : find(s, is_control(kind), bytes, size);
    if (id != NONE) return id;
    if (s->sealed || size == 0) abort();
    Token t = {kind, tn_xcalloc(size + 1, 1), size};
    memcpy(t.bytes, bytes, size);
    TN_PUSH(s->tokens, s->n, s->cap, t);
    return (int32_t)s->n - 1;
}

void tn_scripted_spelling(const TnScripted *s, int32_t id, const char **bytes, size_t *size) {
    *bytes = s->tokens[id].bytes;
    *size = s->tokens[id].size;
}

int32_t tn_scripted_byte(TnScripted *s, uint8_t byte) {
    s->sealed = true;
    return (int32_t)s->n + byte;
}

static void set(Rules *rules, int32_t when, int32_t next, float logit) {
    for (size_t i = 0; i < rules->n; i++)
        if (rules->v[i].when == when && rules->v[i].next == next) {
            rules->v[i].logit = logit;
            return;
        }
    TN_PUSH(rules->v, rules->n, rules->cap, (Rule){when, next, logit});
}

void tn_scripted_after(TnScripted *s, int32_t id, int32_t next, float logit) {
    set(&s->after, id, next, logit);
}

void tn_scripted_during(TnScripted *s, int32_t trigger, int32_t next, float logit) {
    if (trigger != NONE && s->tokens[trigger].kind != TN_SCRIPTED_TRIGGER) abort();
    set(&s->during, trigger, next, logit);
}

void tn_scripted_template(TnScripted *s, const char *text) {
    free(s->chat_template);
    s->chat_template = tn_xcalloc(strlen(text) + 1, 1);
    memcpy(s->chat_template, text, strlen(text));
}

/* ---- The weights
 *
 * Columns of the hidden row: 0 for tokens that nothing is said about, one for each other token, then one for "no trigger"
 * and one for each trigger. The number of columns D is twice a square of a power of two. A token's row has s = sqrt(D/2) in
 * its column; attention adds s in a trigger's column. The mean square is then 1, the norm changes nothing, and a head of
 * logit / s gives the logit exactly.
 *
 * One head of 64 attends. Only triggers have a key that is not 0; of a trigger d positions back the score is
 * A cos(theta d + pi/4), with the slowest pair of rope, so that it falls from d to d + 1 by at least A theta sin(pi/4), and
 * stays above 0 for the whole context. With A below that is 20, and all weight goes to the latest. Keys rounded to f16
 * change a score by up to 36 in all, the fall over two positions. Values are 1 in the trigger's column, or in that of "no
 * trigger". */
typedef struct Plan {
    const TnScripted *s;
    uint32_t n_vocab, hidden, n_states, n_triggers;
    uint32_t *state;    /* [n_vocab] column of the token */
    int32_t *token_of;  /* [n_states] a token of that column; NONE for column 0 */
    uint32_t *trigger;  /* [n] 1 + number of a trigger, or 0 */
    bool *ruled;        /* [n_vocab] a rule says what comes after it */
    double unit, theta; /* s, theta */
} Plan;

static Plan plan_of(const TnScripted *s) {
    Plan p = {.s = s, .n_vocab = (uint32_t)s->n + 256, .n_states = 1, .hidden = 128};
    p.state = tn_xcalloc(p.n_vocab, sizeof *p.state);
    p.token_of = tn_xcalloc(p.n_vocab + 1, sizeof *p.token_of);
    p.trigger = tn_xcalloc(p.n_vocab, sizeof *p.trigger);
    p.ruled = tn_xcalloc(p.n_vocab, sizeof *p.ruled);
    p.token_of[0] = NONE;
    for (size_t i = 0; i < s->after.n; i++)
        if (s->after.v[i].when != NONE) p.ruled[s->after.v[i].when] = true;
    for (uint32_t i = 0; i < p.n_vocab; i++) {
        bool trigger = i < s->n && s->tokens[i].kind == TN_SCRIPTED_TRIGGER;
        if (trigger) p.trigger[i] = ++p.n_triggers;
        if (!trigger && !p.ruled[i]) continue;
        p.token_of[p.n_states] = (int32_t)i;
        p.state[i] = p.n_states++;
    }
    if (p.n_triggers >= HEAD) abort();
    while (p.hidden < p.n_states + 1 + p.n_triggers) p.hidden *= 4;
    p.unit = sqrt(p.hidden / 2.0);
    p.theta = acos(-1.0) / 4 * 0.95 / CONTEXT;
    return p;
}

static void put(uint8_t *out, const Plan *p, size_t row, size_t column, double value) {
    float f = (float)value;
    memcpy(out + (row * p->hidden + column) * sizeof f, &f, sizeof f);
}

static void fill_ones(void *ctx, const char *name, uint8_t *out, size_t bytes) {
    (void)ctx, (void)name;
    float one = 1.0f;
    for (size_t i = 0; i < bytes; i += sizeof one) memcpy(out + i, &one, sizeof one);
}

static void fill_embedding(void *ctx, const char *name, uint8_t *out, size_t bytes) {
    const Plan *p = ctx;
    (void)name;
    memset(out, 0, bytes);
    for (uint32_t i = 0; i < p->n_vocab; i++) put(out, p, i, p->state[i], p->unit);
}

static void fill_head(void *ctx, const char *name, uint8_t *out, size_t bytes) {
    const Plan *p = ctx;
    const TnScripted *s = p->s;
    (void)name;
    memset(out, 0, bytes);
    for (size_t i = 0; i < s->after.n; i++) {
        const Rule *r = &s->after.v[i];
        double value = (double)r->logit / p->unit;
        for (uint32_t c = 0; c < p->n_states; c++)
            if (p->token_of[c] == r->when || (r->when == NONE && !p->ruled[p->token_of[c]]))
                put(out, p, (size_t)r->next, c, value);
    }
    for (size_t i = 0; i < s->during.n; i++) {
        const Rule *r = &s->during.v[i];
        uint32_t trigger = r->when == NONE ? 0 : p->trigger[r->when];
        put(out, p, (size_t)r->next, p->n_states + trigger, (double)r->logit / p->unit);
    }
}

/* What the norm before attention makes of the number in a token's column. */
static double normed(const Plan *p) {
    return sqrt(p->hidden);
}

static uint32_t trigger_of(const Plan *p, uint32_t state) {
    return state ? p->trigger[p->token_of[state]] : 0;
}

static void fill_q(void *ctx, const char *name, uint8_t *out, size_t bytes) {
    const Plan *p = ctx;
    (void)name;
    double size = 20 / (p->theta * sqrt(0.5)) * sqrt(HEAD); /* scores are divided by the root of 64 */
    memset(out, 0, bytes);
    for (uint32_t c = 0; c < p->n_states; c++)
        for (size_t row = HEAD - 2; row < HEAD; row++) put(out, p, row, c, size * sqrt(0.5) / normed(p));
}

static void fill_k(void *ctx, const char *name, uint8_t *out, size_t bytes) {
    const Plan *p = ctx;
    (void)name;
    memset(out, 0, bytes);
    for (uint32_t c = 0; c < p->n_states; c++)
        if (trigger_of(p, c)) put(out, p, HEAD - 2, c, 1 / normed(p));
}

static void fill_v(void *ctx, const char *name, uint8_t *out, size_t bytes) {
    const Plan *p = ctx;
    (void)name;
    memset(out, 0, bytes);
    for (uint32_t c = 0; c < p->n_states; c++) put(out, p, trigger_of(p, c), c, 1 / normed(p));
}

static void fill_o(void *ctx, const char *name, uint8_t *out, size_t bytes) {
    const Plan *p = ctx;
    (void)name;
    float unit = (float)p->unit;
    memset(out, 0, bytes);
    for (uint32_t t = 0; t <= p->n_triggers; t++)
        memcpy(out + ((p->n_states + t) * (size_t)HEAD + t) * sizeof unit, &unit, sizeof unit);
}

static void write_tensors(TnGw *w, Plan *p) {
    const struct {
        const char *name;
        uint64_t rows, cols; /* rows 0: a vector */
        TnGwFill *fill;      /* NULL: zeros */
    } list[] = {{"token_embd", p->n_vocab, p->hidden, fill_embedding},
                {"output_norm", 0, p->hidden, fill_ones},
                {"output", p->n_vocab, p->hidden, fill_head},
                {"blk.0.attn_norm", 0, p->hidden, fill_ones},
                {"blk.0.attn_q", HEAD, p->hidden, fill_q},
                {"blk.0.attn_k", HEAD, p->hidden, fill_k},
                {"blk.0.attn_v", HEAD, p->hidden, fill_v},
                {"blk.0.attn_output", p->hidden, HEAD, fill_o},
                {"blk.0.ffn_norm", 0, p->hidden, fill_ones},
                {"blk.0.ffn_gate", FFN, p->hidden, NULL},
                {"blk.0.ffn_up", FFN, p->hidden, NULL},
                {"blk.0.ffn_down", p->hidden, FFN, NULL}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        TnBuf name = {0};
        tn_buf_printf(&name, "%s.weight", list[i].name);
        tn_gw_tensor(w, name.data, GW_T_F32, list[i].rows ? 2 : 1, (uint64_t[]){list[i].cols, list[i].rows},
                     list[i].fill, p);
        tn_buf_free(&name);
    }
}

/* ---- The vocabulary */

/* GPT-2's spelling of bytes, as UTF-8. */
static void spell(TnBuf *out, const char *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        unsigned code = (uint8_t)bytes[i], extra = 0;
        for (unsigned b = 0; b < code; b++)
            extra += !((b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174);
        if (!((code >= 33 && code <= 126) || (code >= 161 && code <= 172) || code >= 174)) code = 256 + extra;
        if (code < 128)
            tn_buf_put(out, &(char){(char)code}, 1);
        else
            tn_buf_put(out, (char[]){(char)(0xc0 | code >> 6), (char)(0x80 | (code & 63))}, 2);
    }
}

static char *spelled(TnArena *a, const char *bytes, size_t size) {
    TnBuf b = {0};
    spell(&b, bytes, size);
    char *text = tn_strndup(a, b.data, b.len);
    tn_buf_free(&b);
    return text;
}

static void write_vocabulary(TnGw *w, TnArena *a, const Plan *p) {
    const TnScripted *s = p->s;
    const char **tokens = tn_alloc_array(a, p->n_vocab, sizeof *tokens);
    int32_t *kinds = tn_alloc_array(a, p->n_vocab, sizeof *kinds);
    static const int32_t kind_of[] = {
        [TN_SCRIPTED_PIECE] = 1, [TN_SCRIPTED_CONTROL] = 3, [TN_SCRIPTED_END] = 3, [TN_SCRIPTED_TRIGGER] = 4};
    static const char *const ends[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"};
    size_t n_ends = 0;
    for (uint32_t i = 0; i < p->n_vocab; i++) {
        const Token *t = i < s->n ? &s->tokens[i] : NULL;
        char byte = (char)(i - s->n);
        kinds[i] = t ? kind_of[t->kind] : 1;
        tokens[i] = !t                             ? spelled(a, &byte, 1)
                    : t->kind == TN_SCRIPTED_PIECE ? spelled(a, t->bytes, t->size)
                                                   : t->bytes;
        if (t && t->kind == TN_SCRIPTED_END && n_ends < 2) tn_gw_u32(w, ends[n_ends++], i);
    }
    tn_gw_str(w, "tokenizer.ggml.model", "gpt2");
    tn_gw_str(w, "tokenizer.ggml.pre", "gpt-2");
    tn_gw_strs(w, "tokenizer.ggml.tokens", tokens, p->n_vocab);
    tn_gw_array(w, "tokenizer.ggml.token_type", GW_I32, kinds, p->n_vocab, sizeof *kinds);
    tn_gw_strs(w, "tokenizer.ggml.merges", NULL, 0);
    tn_gw_bool(w, "tokenizer.ggml.add_bos_token", 0);
    if (s->chat_template) tn_gw_str(w, "tokenizer.chat_template", s->chat_template);
}

void tn_scripted_bytes(TnScripted *s, TnBuf *out) {
    TnArena a = {0};
    Plan p = plan_of(s);
    TnGw *w = tn_gw_create();
    tn_gw_str(w, "general.architecture", "llama");
    tn_gw_str(w, "general.name", "scripted");
    tn_gw_u32(w, "llama.vocab_size", p.n_vocab);
    tn_gw_u32(w, "llama.context_length", CONTEXT);
    tn_gw_u32(w, "llama.embedding_length", p.hidden);
    tn_gw_u32(w, "llama.block_count", 1);
    tn_gw_u32(w, "llama.feed_forward_length", FFN);
    tn_gw_u32(w, "llama.attention.head_count", 1);
    tn_gw_u32(w, "llama.attention.head_count_kv", 1);
    tn_gw_u32(w, "llama.attention.key_length", HEAD);
    tn_gw_u32(w, "llama.attention.value_length", HEAD);
    tn_gw_u32(w, "llama.rope.dimension_count", HEAD);
    tn_gw_f32(w, "llama.rope.freq_base", (float)pow(p.theta, -(double)HEAD / (HEAD - 2)));
    tn_gw_f32(w, "llama.attention.layer_norm_rms_epsilon", 2e-12f);
    write_vocabulary(w, &a, &p);
    write_tensors(w, &p);
    tn_gw_bytes(w, out, NULL, NULL);
    tn_gw_destroy(w);
    tn_arena_free(&a);
    free(p.state);
    free(p.token_of);
    free(p.trigger);
    free(p.ruled);
}
