/* Guesses which program wrote a model file.
 *
 * No key says it. But forks of ggml number tensor types and file types differently, and converters differ in
 * architecture names and in the keys they leave out. A few rules, the most telling first, name the packer
 * (which wrote the weights' bytes) and the converter (which chose names and keys), each with its evidence.
 * The rules about converters are in the rows of the architectures (frontends/gguf/arch.h). */
#include "frontends/gguf/arch.h"
#include "frontends/hf/hf.h"
#include "frontends/tools/report.h"
#include <string.h>

static const char *text_key(TnReport *r, const char *name) {
    const char *s = NULL;
    TernError ignored;
    if (tn_gguf_string(r->gguf, name, false, &s, &ignored) != TERN_OK) return NULL;
    return s;
}

static uint64_t number_key(TnReport *r, const char *name) {
    uint64_t v = UINT64_MAX;
    TernError ignored;
    (void)tn_gguf_uint(r->gguf, name, false, 0, UINT32_MAX, &v, &ignored);
    return v;
}

/* The first tensor of a type that lies in [lo, hi]. */
static const TnGgufTensor *of_type(const TnReport *r, uint32_t lo, uint32_t hi) {
    for (size_t i = 0; i < r->gguf->n_tensors; i++)
        if (r->gguf->tensors[i].type >= lo && r->gguf->tensors[i].type <= hi) return &r->gguf->tensors[i];
    return NULL;
}

static const char microsoft[] = "Microsoft BitNet (bitnet.cpp, a fork of llama.cpp)";
static const char mainline[] = "llama.cpp";
static const char ik[] = "ik_llama.cpp (a fork of llama.cpp)";

/* The first tensor of a type that only one of them has; NULL if there is none. */
static const TnGgufTensor *of_a_maker(const TnReport *r) {
    for (size_t i = 0; i < r->gguf->n_tensors; i++)
        if (r->gguf->tensors[i].type_maker) return &r->gguf->tensors[i];
    return NULL;
}

static const char *who_of(const char *maker) {
    if (strcmp(maker, "bitnet.cpp") == 0) return microsoft;
    return strcmp(maker, "ik_llama.cpp") == 0 ? ik : maker;
}

static void packer(TnReport *r, uint64_t file_type) {
    static const struct {
        uint32_t lo, hi;
        const char *who;
    } types[] = {
        {36, 36, microsoft},
        {34, 35, mainline},
        {31, 33, "llama.cpp before November 2024, or ik_llama.cpp"},
    };
    const TnGgufTensor *t = of_a_maker(r);
    const char *who = t ? who_of(t->type_maker) : NULL, *from = NULL;
    for (size_t i = 0; i < TN_COUNT(types) && !who; i++) {
        t = of_type(r, types[i].lo, types[i].hi);
        if (t) who = types[i].who;
    }
    if (who) from = tn_sprintf(&r->arena, "tensor type %u (%s)", t->type, tn_gguf_tensor_type_name(t));
    static const struct {
        uint64_t number;
        const char *name, *who;
    } file_types[] = {{36, "TQ1_0", mainline}, {37, "TQ2_0", mainline}, {38, "TL1 or MXFP4", microsoft},
                      {39, "TL2", microsoft},  {40, "I2_S", microsoft}, {136, "IQ1_BN", ik},
                      {137, "IQ2_BN", ik},     {337, "IQ2_BN_R4", ik}};
    for (size_t i = 0; i < TN_COUNT(file_types); i++) {
        if (file_types[i].number != file_type) continue;
        const char *says = tn_sprintf(&r->arena, "general.file_type %llu (%s)", (unsigned long long)file_type,
                                      file_types[i].name);
        if (who == file_types[i].who)
            from = tn_sprintf(&r->arena, "%s; %s", from, says);
        else if (who)
            tn_findings_add(&r->notes, &r->arena, "general.file_type", says, "the tensors say otherwise");
        else {
            tn_findings_add(&r->notes, &r->arena, "general.file_type", says, "no tensor is of that type");
            who = file_types[i].who, from = says;
        }
    }
    if (!who)
        who = "not told",
        from = "its tensor types are the same in all forks, and general.file_type names none";
    tn_findings_add(&r->producer, &r->arena, "packed by", who, from);
}

/* Whether `tern convert` signed the file by this key. llama-quantize, which signs by another, keeps the key. */
static bool signed_here(TnReport *r, const char *key) {
    const char *by = text_key(r, key);
    return by && strcmp(by, TN_HF_SELF) == 0 && !tn_gguf_key(r->gguf, "general.quantization_version");
}

/* The architecture's rows say which program writes files of its name. */
static void converter(TnReport *r, const char *name) {
    const char *who = "not told", *from = tn_sprintf(&r->arena, "architecture %s", name);
    const TnArch *arch = tn_arch_find(name);
    for (uint32_t i = 0; arch && i < arch->n_converters; i++) {
        const TnArchConverter *c = &arch->converters[i];
        if (c->shown && !c->shown(r->gguf)) continue;
        who = c->who;
        if (c->sign) from = tn_sprintf(&r->arena, "%s%s", from, c->sign);
        break;
    }
    if (signed_here(r, TN_HF_CONVERTER)) who = TN_HF_SELF, from = "the key " TN_HF_CONVERTER;
    tn_findings_add(&r->producer, &r->arena, "converted by", who, from);
    if (tn_gguf_key(r->gguf, "general.quantization_version"))
        tn_findings_add(&r->producer, &r->arena, "quantized by", "llama-quantize, or a fork's",
                        "the key general.quantization_version is there");
}

void tn_report_producer(TnReport *r) {
    const char *arch = text_key(r, "general.architecture"), *chat = text_key(r, "tokenizer.chat_template");
    uint64_t file_type = number_key(r, "general.file_type");
    if (!arch) arch = "(none)";
    if (signed_here(r, TN_HF_PACKER))
        tn_findings_add(&r->producer, &r->arena, "packed by", TN_HF_SELF, "the key " TN_HF_PACKER);
    else
        packer(r, file_type);
    converter(r, arch);
    const TnGgufTensor *i2s = of_type(r, 36, 36);
    if (i2s && (i2s->enc == TN_ENC_i2s64 || i2s->enc == TN_ENC_i2s4))
        tn_findings_add(&r->notes, &r->arena, "I2_S",
                        i2s->enc == TN_ENC_i2s64 ? "read as 64x16: blocks of 64 in 16 bytes"
                                                 : "read as 1x4: four rows in a byte",
                        "--i2s-layout says so, the file cannot");
    else if (i2s)
        tn_findings_add(
            &r->notes, &r->arena, "I2_S",
            "read as 128x32: blocks of 128 (32 bytes, first weight in the top bits)",
            "the file cannot say; llama-quantize of an ARM build since November 2025 writes blocks of 64, "
            "whose text would be nonsense: --i2s-layout 64x16 reads them, 1x4 those of four rows");
    if (chat && strstr(chat, "BITNETAssistant"))
        tn_findings_add(&r->notes, &r->arena, "tokenizer.chat_template", "is a Human/BITNETAssistant form",
                        "the model was trained with another: \"User: ...<|eot_id|>Assistant: \"");
}
