/* Built for aarch64 by test_neon.sh, and run under qemu: a blob and token ids in, the logits of every token out.
 *
 *   neon_model_run BLOB THREADS f16|f32 PREFILL ID...    the first PREFILL ids in one step, the others one by one;
 *                                                  little-endian float32 rows on standard output */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/tern.h"

enum { IDS = 256 };

static uint32_t n_vocab;

static void write_row(void *user, const TernResult *r) {
    size_t *written = user;
    *written += fwrite(r->logits, sizeof(float), n_vocab, stdout);
}

static int refuse(const TernError *err) {
    fprintf(stderr, "%s\n", err->text);
    return 1;
}

int main(int argc, char **argv) {
    TernError err = {0};
    TernPool *pool;
    TernModel *model;
    TernSession *session;
    TernModelInfo info;
    TernRow rows[IDS];
    size_t written = 0, n = (size_t)argc - 5;
    if (argc < 6 || n > IDS) return 2;
    for (size_t i = 0; i < n; i++) rows[i] = (TernRow){atoi(argv[5 + i]), 0, TERN_WANT_LOGITS};
    size_t prefill = strtoul(argv[4], NULL, 10);
    if (prefill == 0 || prefill > n) return 2;
    TernPoolOptions po = {.size = sizeof po, .threads = (uint32_t)atoi(argv[2])};
    TernSessionOptions so = {.size = sizeof so,
                             .context = (uint32_t)n,
                             .kv = strcmp(argv[3], "f32") == 0 ? TERN_KV_F32 : TERN_KV_F16};
    if (tern_pool_create(&po, &pool, &err) || tern_model_open(argv[1], NULL, &model, &err) ||
        tern_session_create(model, pool, &so, &session, &err))
        return refuse(&err);
    tern_model_info(model, &info);
    n_vocab = info.n_vocab;
    if (strcmp(info.level, "neon-dotprod") != 0) {
        fprintf(stderr, "level is %s, expected neon-dotprod\n", info.level);
        return 1;
    }
    if (tern_session_step(session, rows, prefill, write_row, &written, &err)) return refuse(&err);
    for (size_t i = prefill; i < n; i++)
        if (tern_session_step(session, &rows[i], 1, write_row, &written, &err)) return refuse(&err);
    tern_session_destroy(session);
    tern_model_close(model);
    tern_pool_destroy(pool);
    return written != n * n_vocab || fclose(stdout) != 0;
}
