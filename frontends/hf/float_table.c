/* Rows of numbers in the types that tables and vectors may have. q8_0 is 32 numbers as an f16 scale, which is the largest
 * magnitude / 127, and a byte each. */
#include <math.h>
#include <string.h>
#include "frontends/hf/internal.h"
#include "runtime/base/half.h"

static const struct {
    const char *name;
    uint32_t id, block, bytes;
} types[] = {
    {"f32", TN_GGUF_ID_F32, 1, 4},
    {"f16", TN_GGUF_ID_F16, 1, 2},
    {"bf16", TN_GGUF_ID_BF16, 1, 2},
    {"q8_0", TN_GGUF_ID_Q8_0, 32, 34},
};

bool tn_float_type(const char *name, uint32_t *out_id) {
    for (size_t i = 0; i < TN_COUNT(types); i++)
        if (strcmp(types[i].name, name) == 0) {
            *out_id = types[i].id;
            return true;
        }
    return false;
}

size_t tn_float_bytes(uint32_t id, uint64_t cols) {
    for (size_t i = 0; i < TN_COUNT(types); i++)
        if (types[i].id == id) return cols % types[i].block ? 0 : cols / types[i].block * types[i].bytes;
    TN_BUG("type %u of a table", id);
}

static void pack_q8(const float *x, uint8_t *out) {
    float most = 0;
    for (int i = 0; i < 32; i++) most = fmaxf(most, fabsf(x[i]));
    float d = most / 127, inverse = d > 0 ? 1 / d : 0;
    uint16_t h = tn_f32_to_f16(d);
    memcpy(out, &h, 2);
    for (int i = 0; i < 32; i++) out[2 + i] = (uint8_t)(int8_t)roundf(x[i] * inverse);
}

void tn_float_pack(uint32_t id, const float *x, uint64_t n, uint8_t *out) {
    for (uint64_t i = 0; id == TN_GGUF_ID_Q8_0 && i < n; i += 32) pack_q8(x + i, out + i / 32 * 34);
    if (id == TN_GGUF_ID_F32) memcpy(out, x, 4 * n);
    for (uint64_t i = 0; (id == TN_GGUF_ID_F16 || id == TN_GGUF_ID_BF16) && i < n; i++) {
        uint16_t h = id == TN_GGUF_ID_F16 ? tn_f32_to_f16(x[i]) : tn_f32_to_bf16(x[i]);
        memcpy(out + 2 * i, &h, 2);
    }
}
