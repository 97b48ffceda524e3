/* For tests: a folder with one small model, made of texts that a test may change, and the GGUF it becomes. */
#ifndef TN_TEST_SMALL_FOLDER_H
#define TN_TEST_SMALL_FOLDER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "frontends/gguf/gguf.h"
#include "frontends/hf/hf.h"
#include "runtime/base/buf.h"
#include "runtime/base/half.h"

static char dir[] = "/tmp/tern-hf-XXXXXX";

static inline const char *path_in_dir(const char *name) {
    static char path[160];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}
static inline void put_file(const char *name, const void *bytes, size_t n) {
    FILE *f = fopen(path_in_dir(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}
static inline void put_text(const char *name, const char *text) {
    put_file(name, text, strlen(text));
}
static inline int make_dir(void **state) {
    (void)state;
    return mkdtemp(dir) ? 0 : 1;
}
static inline int remove_dir(void **state) {
    static const char *const names[] = {
        "config.json",     "model.safetensors",      "tokenizer.json",      "tokenizer_config.json",
        "tokenizer.model", "generation_config.json", "chat_template.jinja", "added_tokens.json"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unlink(path_in_dir(names[i]));
    return rmdir(dir);
}

/* The text with its first `from` replaced, which must occur; free() it. */
static inline char *replaced(const char *text, const char *from, const char *to) {
    const char *at = strstr(text, from);
    if (!at) fail_msg("'%s' does not occur", from);
    size_t before = (size_t)(at - text), n = strlen(text) + strlen(to) + 1;
    char *out = tn_xcalloc(n, 1);
    snprintf(out, n, "%.*s%s%s", (int)before, text, to, at + strlen(from));
    return out;
}

/* Sizes of the model. */
enum { HIDDEN = 64, FFN = 128, HEADS = 2, KV = 1, HEAD = 32, VOCAB = 32 };
static const char good_config[] =
    "{\"architectures\":[\"LlamaForCausalLM\"],\n"
    "\"hidden_size\":64,\n"
    "\"intermediate_size\":128,\n"
    "\"num_hidden_layers\":1,\n"
    "\"num_attention_heads\":2,\n"
    "\"num_key_value_heads\":1,\n"
    "\"head_dim\":32,\n"
    "\"vocab_size\":32,\n"
    "\"max_position_embeddings\":128,\n"
    "\"hidden_act\":\"silu\",\n"
    "\"rms_norm_eps\":1e-5,\n"
    "\"rope_theta\":10000.0,\n"
    "\"rope_scaling\":null,\n"
    "\"tie_word_embeddings\":true,\n"
    "\"quantization_config\":{\"quant_method\":\"bitnet\",\"linear_class\":\"autobitlinear\","
    "\"quantization_mode\":\"offline\"},\n"
    "\"eos_token_id\":2}";

static bool bare; /* leave "model." out of names */

/* Tensors of model.safetensors as they are added. */
typedef struct Weights {
    TnBuf head, data;
} Weights;
static inline void add(Weights *w, const char *name, const char *dtype, const char *shape, const void *bytes,
                       size_t n) {
    if (bare && strncmp(name, "model.", 6) == 0) name += 6;
    tn_buf_printf(&w->head, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
                  w->head.len ? "," : "{", name, dtype, shape, w->data.len, w->data.len + n);
    tn_buf_put(&w->data, bytes, n);
}
static inline void finish(Weights *w) {
    TnBuf all = {0};
    tn_buf_puts(&w->head, "}");
    uint64_t n = w->head.len;
    tn_buf_put(&all, &n, 8);
    tn_buf_put(&all, w->head.data, w->head.len);
    tn_buf_put(&all, w->data.data, w->data.len);
    put_file("model.safetensors", all.data, all.len);
    tn_buf_free(&all);
    tn_buf_free(&w->head);
    tn_buf_free(&w->data);
}

/* The weight in row r, column c of a checkpoint's matrix number m, and the scale of its group of 64 columns. */
static inline int trit_at(int m, int r, int c) {
    uint32_t x = (uint32_t)m * 7919 + (uint32_t)r * 104729 + (uint32_t)c * 1299709 + 12345;
    x ^= x >> 13, x *= 0x5bd1e995u, x ^= x >> 15;
    return (int)(x % 3) - 1;
}
static inline float scale_at(int m, int r, int c, int group) {
    return group ? 0.25f + 0.125f * (float)((m + r + c / group) % 5) : 0.5f + 0.25f * (float)m;
}

typedef enum Layout { PACKED, DENSE, MASTERS } Layout;
static const struct {
    const char *name, *gguf;
    int rows, cols, heads; /* heads: of those whose rows are permuted */
} matrices[] = {
    {"self_attn.q_proj", "attn_q", HEADS *HEAD, HIDDEN, HEADS},
    {"self_attn.k_proj", "attn_k", KV *HEAD, HIDDEN, KV},
    {"self_attn.v_proj", "attn_v", KV *HEAD, HIDDEN, 0},
    {"self_attn.o_proj", "attn_output", HIDDEN, HEADS *HEAD, 0},
    {"mlp.gate_proj", "ffn_gate", FFN, HIDDEN, 0},
    {"mlp.up_proj", "ffn_up", FFN, HIDDEN, 0},
    {"mlp.down_proj", "ffn_down", HIDDEN, FFN, 0},
};
enum { MATRICES = 7 };

/* One for each group of columns of a row, or, of a negative group, one for as many rows. */
static inline void add_scales(Weights *w, const char *name, int m, int group) {
    float scales[FFN * FFN / 16];
    char shape[32];
    int n = 0, rows = matrices[m].rows;
    for (int r = 0; group > 0 && r < rows; r++)
        for (int c = 0; c < matrices[m].cols; c += group) scales[n++] = scale_at(m, r, c, group);
    for (int r = 0; group < 0 && r < rows; r -= group) scales[n++] = scale_at(m, r / -group, 0, 1);
    if (group > 0)
        snprintf(shape, sizeof shape, "%d,%d", rows, matrices[m].cols / group);
    else
        snprintf(shape, sizeof shape, "%d", n);
    add(w, name, "F32", shape, scales, (size_t)n * 4);
}

static inline void add_matrix(Weights *w, int m, Layout layout, int group, bool over) {
    int rows = matrices[m].rows, cols = matrices[m].cols;
    char name[96], shape[32];
    snprintf(name, sizeof name, "model.layers.0.%s.weight", matrices[m].name);
    snprintf(shape, sizeof shape, "%d,%d", layout == PACKED ? rows / 4 : rows, cols);
    if (layout == PACKED) {
        uint8_t *p = tn_xcalloc((size_t)(rows / 4 * cols), 1);
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < cols; c++)
                p[r % (rows / 4) * cols + c] |= (uint8_t)((trit_at(m, r, c) + 1) << 2 * (r / (rows / 4)));
        add(w, name, "U8", shape, p, (size_t)(rows / 4 * cols));
        free(p);
        snprintf(name, sizeof name, "model.layers.0.%s.weight_scale", matrices[m].name);
        if (group) {
            add_scales(w, name, m, group);
            return;
        }
        float s = scale_at(m, 0, 0, 0);
        uint16_t h = tn_f32_to_bf16(over ? 1 / s : s);
        add(w, name, "BF16", "1", &h, 2);
        return;
    }
    float *p = tn_xcalloc((size_t)(rows * cols), sizeof *p);
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < cols; c++) {
            float t = (float)trit_at(m, r, c), near = 0.8f + 0.1f * (float)((r + c) % 5);
            p[r * cols + c] = layout == DENSE ? t * scale_at(m, r, c, group)
                              : t != 0        ? t * near
                                              : 0.1f * near;
        }
    add(w, name, "F32", shape, p, (size_t)(rows * cols) * 4);
    free(p);
}

/* Norms and embedding, in f32 numbers that count up. */
static inline void add_rest(Weights *w) {
    static float numbers[VOCAB * HIDDEN];
    for (int i = 0; i < VOCAB * HIDDEN; i++) numbers[i] = (float)i / 64;
    add(w, "model.embed_tokens.weight", "F32", "32,64", numbers, sizeof numbers);
    add(w, "model.norm.weight", "F32", "64", numbers, HIDDEN * 4);
    add(w, "model.layers.0.input_layernorm.weight", "F32", "64", numbers + 1, HIDDEN * 4);
    add(w, "model.layers.0.post_attention_layernorm.weight", "F32", "64", numbers + 2, HIDDEN * 4);
}

static inline void put_weights(Layout layout, int group, bool over) {
    Weights w = {0};
    add_rest(&w);
    for (int m = 0; m < MATRICES; m++) add_matrix(&w, m, layout, group, over);
    finish(&w);
}

static TernStatus append(void *ctx, const void *bytes, size_t n, TernError *err) {
    (void)err;
    tn_buf_put(ctx, bytes, n);
    return TERN_OK;
}

static char last_note[400];
static void keep_note(void *user, const char *line) {
    (void)user;
    snprintf(last_note, sizeof last_note, "%s", line);
}

/* The error of a conversion without the folder's path in front, or "". The GGUF is appended to *out, if that is not NULL. */
static inline const char *convert_says(const TnHfOptions *options, TnBuf *out) {
    static TernError err;
    TnHfModel *m = NULL;
    TnBuf own = {0};
    TnHfOptions o = options ? *options : (TnHfOptions){0};
    o.note = keep_note;
    err = (TernError){0};
    *last_note = 0;
    TernStatus st = tn_hf_open(dir, &o, &m, &err);
    size_t size = m ? tn_hf_size(m) : 0;
    if (st == TERN_OK) st = tn_hf_write(m, append, &own, &err);
    if (st == TERN_OK) assert_int_equal(own.len, size);
    tn_hf_close(m);
    if (st == TERN_OK) err.text[0] = 0;
    if (out && st == TERN_OK) tn_buf_put(out, own.data, own.len);
    tn_buf_free(&own);
    if (strchr(err.text, '\n')) fail_msg("more than one line: %s", err.text);
    return strncmp(err.text, dir, strlen(dir)) == 0 ? err.text + strlen(dir) : err.text;
}

#endif
