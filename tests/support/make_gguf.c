/* make_gguf: writes a GGUF model with random weights, for scripts and benches. See make_gguf --help. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "support/gguf_model.h"

static const char usage[] =
    "usage: make_gguf [options] -o FILE\n"
    "  --shape NAME      tiny (default), odd, small, 700m, 2b4t, 3b, 8b; the sizes below change parts of it\n"
    "  --hidden N --ffn N --layers N --heads N --kv-heads N --head-dim N --vocab N --ctx N\n"
    "  --arch NAME       bitnet-b1.58 (default) or another that `make_gguf --archs` lists\n"
    "  --weights TYPE    i2_s (default), tq1_0, tq2_0, tl1, tl2, iq1_bn, iq2_bn, iq2_bn_r4, q2_0, q2_0_g128, "
    "pq2_0, ptq1_0, f32, f16, bf16, or blocks: q4_0, q4_1, q5_0, q5_1, "
    "q8_0, q4_k, q5_k,\n"
    "                    q6_k, mxfp4, or i8_s\n"
    "  --ternary         f32, f16 and bf16 matrices hold -s, 0 and s\n"
    "  --embd TYPE       f16 (default), f32, bf16, i8_s, or blocks; embedding and head\n"
    "  --norms TYPE      f32 (default), f16, bf16\n"
    "  --untied --rope-freqs --scales --grouped --no-vocab\n"
    "  --dead X          this share of the neurons has no weights in gate and up, as many again in one of "
    "them\n"
    "  --outliers X      every hundredth weight of the norm before down is X times larger: most codes after "
    "it are 0\n"
    "  --rope-base X --eps X --gguf 2|3 --align N --seed N\n";

static void bad(const char *flag, const char *value) {
    fprintf(stderr, "make_gguf: %s: '%s' is not understood\n%s", flag, value ? value : "", usage);
    exit(2);
}

int main(int argc, char **argv) {
    TnGmSpec s = tn_gm_small;
    uint32_t version = 3;
    const char *path = NULL;
    tn_gm_shape("tiny", &s);
    for (int i = 1; i + 1 < argc; i++) /* first, wherever it is: the other options change parts of it */
        if (strcmp(argv[i], "--shape") == 0 && !tn_gm_shape(argv[i + 1], &s)) bad(argv[i], argv[i + 1]);
    const struct {
        const char *flag;
        uint32_t *to;
    } numbers[] = {{"--hidden", &s.hidden},  {"--ffn", &s.ffn},           {"--layers", &s.layers},
                   {"--heads", &s.heads},    {"--kv-heads", &s.kv_heads}, {"--head-dim", &s.head_dim},
                   {"--vocab", &s.vocab},    {"--ctx", &s.context},       {"--gguf", &version},
                   {"--align", &s.alignment}},
      kinds[] = {{"--weights", &s.weights}, {"--embd", &s.embd}, {"--norms", &s.norms}};
    const struct {
        const char *flag;
        bool *to;
    } switches[] = {{"--ternary", &s.ternary}, {"--untied", &s.untied},   {"--rope-freqs", &s.rope_freqs},
                    {"--scales", &s.scales},   {"--grouped", &s.grouped}, {"--no-vocab", &s.no_vocab}};
    for (int i = 1; i < argc; i++) {
        const char *flag = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        char *end = "";
        bool done = false;
        if (strcmp(flag, "--help") == 0) {
            fputs(usage, stdout);
            return 0;
        }
        if (strcmp(flag, "--archs") == 0) {
            for (const TnGmArch *a = tn_gm_archs; a->name; a++) puts(a->name);
            return 0;
        }
        for (size_t k = 0; k < sizeof switches / sizeof *switches && !done; k++)
            if (strcmp(flag, switches[k].flag) == 0) done = *switches[k].to = true;
        if (done) continue;
        if (i + 1 == argc) bad(flag, NULL);
        i++;
        for (size_t k = 0; k < sizeof numbers / sizeof *numbers && !done; k++)
            if (strcmp(flag, numbers[k].flag) == 0) {
                *numbers[k].to = (uint32_t)strtoul(value, &end, 10);
                done = true;
            }
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds && !done; k++)
            if (strcmp(flag, kinds[k].flag) == 0) {
                done = true;
                if ((*kinds[k].to = tn_gm_type(value)) == UINT32_MAX) bad(flag, value);
            }
        if (!done && strcmp(flag, "--shape") == 0) done = true;
        if (!done && strcmp(flag, "-o") == 0) done = (path = value);
        if (!done && strcmp(flag, "--arch") == 0) done = (s.arch = value);
        if (!done && strcmp(flag, "--seed") == 0) done = true, s.seed = strtoull(value, &end, 10);
        if (!done && strcmp(flag, "--rope-base") == 0) done = true, s.rope_base = strtof(value, &end);
        if (!done && strcmp(flag, "--eps") == 0) done = true, s.eps = strtof(value, &end);
        if (!done && strcmp(flag, "--dead") == 0) done = true, s.dead = strtof(value, &end);
        if (!done && strcmp(flag, "--outliers") == 0) done = true, s.outliers = strtof(value, &end);
        if (!done || !*value || *end) bad(flag, value);
    }
    if (!path) bad("-o", "");
    if (!tn_gm_arch(s.arch)) bad("--arch", s.arch);
    if (!s.heads || !s.kv_heads || s.vocab < 3 || !s.hidden || !s.ffn) bad("sizes", "0");
    if (!tn_gm_fits(&s)) {
        fprintf(stderr, "make_gguf: rows of this shape do not divide into blocks of %s and %s\n",
                tn_gm_type_name(s.weights), tn_gm_type_name(s.embd));
        return 1;
    }
    TnGw *w = tn_gm_create(&s);
    tn_gw_version(w, version);
    bool ok = tn_gw_file(w, path);
    if (!ok) fprintf(stderr, "make_gguf: %s: %s\n", path, strerror(errno));
    tn_gw_destroy(w);
    return !ok;
}
