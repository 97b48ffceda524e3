/* The libraries' errors name fields of their interface. This replaces them by the flags that the user
 * typed. */
#include <string.h>
#include "frontends/cli/cli.h"

static const struct {
    const char *field, *flag; /* if the flag has several names, the one that was typed is shown */
} words[] = {
    {"TerncOptions.levels", "--levels --cpu"},
    {"TerncOptions.cap", "--cpu"},
    {"TerncOptions.context", "-c"},
    {"TerncOptions.head", "--head"},
    {"TerncOptions.target", "--target"},
    {"TerncOptions.form", "--emit"},
    {"TerncOptions.program", "--runtime"},
    {"TerncOptions.device", "--device"},
    {"TernModelOptions.device", "--device"},
    {"TerncOptions.family", "--family"},
    {"TerncOpt.family", "--family"},
    {"TerncPicture.family", "--family"},
    {"TerncOptions.tune_seconds", "--tune"},
    {"TerncOptions.tune_threads", "--tune"},
    {"TerncOptions.tune_cache", "--tune-cache"},
    {"TerncSource.path", "--weights"},
    {"TerncSource.overrides", "--override-kv"},
    {"TerncSource.ternary_dense", "--ternary-dense"},
    {"TerncSource.i2s_layout", "--i2s-layout"},
    {"TerncImport.i2s_probe", "--i2s-probe"},
    {"TerncOpt.level", "--cpu"},
    {"TerncOpt.head", "--head"},
    {"TerncOpt.kv", "--kv"},
    {"TerncOpt.rows_lo", "--rows"},
    {"TerncOpt.dump_after", "--dump-after"},
    {"TerncOpt.variant", "--variant"},
    {"TerncOpt.effort O", "-O"},
    {"TerncOpt.effort", "-O"},
    {"TerncEval.rows", "--rows"},
    {"TerncEval.weights", "--weights"},
    {"TerncEval.variant", "--variant"},
    {"TerncConvert.type", "--type"},
    {"TerncConvert.embd", "--embd"},
    {"TerncConvert.pre", "--pre"},
    {"TerncConvert.absmean", "--absmean"},
    {"TerncConvert.tl_config", "--tl-config"},
    {"TerncPicture.levels", "--levels --cpu"},
    {"TerncPicture.head", "--head"},
    {"TerncPicture.format", "--emit"},
    {"TerncPicture.layer", "--layer"},
    {"TerncPicture.profile", "--profile"},
    {"TerncVerify.against", "--against"},
    {"TerncVerify.bisect", "--bisect"},
    {"TerncVerify.reduce", "--reduce"},
    {"TerncVerify.rows_lo", "--rows"},
    {"TerncVerify.kv", "--kv"},
    {"TerncVerify.threads", "-t"},
    {"TernEmbedderOptions.pooling", "--pooling"},
    {"TernPoolOptions.threads", "-t"},
    {"TernSessionOptions.kv", "--kv"},
    {"TernSamplerOptions.temp", "--temp"},
    {"TernSamplerOptions.top_p", "--top-p"},
    {"TernSamplerOptions.min_p", "--min-p"},
    {"TernSamplerOptions.repeat_penalty", "--repeat-penalty"},
    {"TernSamplerOptions.presence_penalty", "--presence-penalty"},
    {"TernSamplerOptions.frequency_penalty", "--frequency-penalty"},
    {"TernSamplerOptions.repeat_last_n", "--repeat-last-n"},
    {"TernSamplerOptions.bias", "-l --logit-bias"},
    {"TernRequest.stops", "-r --stop"},
    {"the level, kv and rows given", "the --cpu, --kv and --rows given"},
    {"run it evaluated (ternc_open_ref)", "run it with --target ref"},
    {"the target ref", "--target ref"},
    {"kind: ", "--emit: "},
};

static size_t letters(const char *p) {
    size_t n = 0;
    while ((p[n] >= 'a' && p[n] <= 'z') || p[n] == '_') n++;
    return n;
}

/* Finds the entry that the text at p begins with, if no letter follows it; `kind: ` only at the start of a
 * line. */
static size_t word_at(const char *text, const char *p) {
    for (size_t i = 0; i < TN_COUNT(words); i++) {
        const char *f = words[i].field;
        size_t n = strlen(f);
        if (strncmp(p, f, n) != 0 || (letters(f + n - 1) && letters(p + n)) || (*f == 'k' && p != text))
            continue;
        return i;
    }
    return TN_COUNT(words);
}

void name_flags(TernError *err) {
    char out[sizeof err->text];
    size_t n = 0;
    for (const char *p = err->text; *p && n + 1 < sizeof out;) {
        size_t i = word_at(err->text, p);
        const char *put = i < TN_COUNT(words) ? flag_typed(words[i].flag) : p;
        size_t bytes = i < TN_COUNT(words) ? strlen(put) : 1;
        if (n + bytes >= sizeof out) break;
        memcpy(out + n, put, bytes);
        n += bytes;
        p += i < TN_COUNT(words) ? strlen(words[i].field) : 1;
    }
    out[n] = 0;
    memcpy(err->text, out, n + 1);
}
