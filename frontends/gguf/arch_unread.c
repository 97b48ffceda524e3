/* Architectures that are known by name but not supported. The refusal says what such a file is. For any other
 * name it only lists the supported architectures. */
#include "frontends/gguf/arch.h"

/* `name` may contain one *, which matches anything; the first row that matches counts. */
static const struct {
    const char *name, *what;
} unread[] = {
    {"qwen35", "a hybrid of Gated DeltaNet and attention: Bonsai 27B, Bonsai 2"},
    {"gemma3n", "Gemma 3n: an embedding for each layer"},
    {"maple", "a mixture of experts: DeepGrove's Maple 20B-A1B"},
    {"mixtral", "a mixture of experts"},
    {"deepseek*", "a mixture of experts"},
    {"dbrx", "a mixture of experts"},
    {"grok", "a mixture of experts"},
    {"arctic", "a mixture of experts"},
    {"llama4", "a mixture of experts"},
    {"gpt-oss", "a mixture of experts"},
    {"minimax*", "a mixture of experts"},
    {"dots1", "a mixture of experts"},
    {"qwen3next", "a hybrid of Gated DeltaNet and attention"},
    {"falcon-h1", "a hybrid of Mamba and attention"},
    {"jamba", "a hybrid of Mamba and attention"},
    {"mamba*", "a state space model"},
    {"rwkv*", "a recurrent model"},
    {"hunyuan-dense", "Hunyuan's dense model: Tencent's Hy-MT1.5, mostly with STQ1_0 weights"},
    {"clip", "an encoder of pictures or sound, which goes with a language model"},
    {"whisper*", "an encoder of sound"},
    {"wavtokenizer*", "a decoder of sound"},
    {"t5*", "an encoder and a decoder of text"},
};

/* For other names that contain one of these words. */
static const struct {
    const char *word, *what;
} hints[] = {
    {"moe", "a mixture of experts"},
    {"audio", "an encoder of sound"},
    {"-asr", "an encoder of sound"},
    {"bert", "an encoder of text"},
};

const char *tn_arch_unread(const char *name) {
    for (size_t i = 0; i < TN_COUNT(unread); i++)
        if (tn_gguf_fits(unread[i].name, name)) return unread[i].what;
    for (size_t i = 0; i < TN_COUNT(hints); i++)
        if (strstr(name, hints[i].word)) return hints[i].what;
    return NULL;
}
