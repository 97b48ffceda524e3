/* The example of runtime/generate/generate.h as a program: text that follows a prompt. Usage: example_generate MODEL.tern
 * C11 and C++11. */
#include <stdio.h>
#include "generate/generate.h"

static int print(void *user, const TernPiece *p) {
    return fwrite(p->text, 1, p->size, (FILE *)user) != p->size;
}

int main(int argc, char **argv) {
    TernError err;
    TernPool *pool;
    TernModel *model;
    TernGenerator *g;
    if (argc != 2) return 2;
    if (tern_pool_create(NULL, &pool, &err) || tern_model_open(argv[1], NULL, &model, &err) ||
        tern_generator_create(model, pool, NULL, &g, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    TernSamplerOptions greedy = TERN_SAMPLER_OPTIONS;
    greedy.temp = 0;
    TernRequest request = TERN_REQUEST;
    request.text.data = "Once upon a time", request.text.size = 16;
    request.max_tokens = 24;
    request.sampler = &greedy;
    TernStatus status = tern_generate(g, &request, print, stdout, NULL, &err);
    if (status) fprintf(stderr, "%s\n", err.text);
    tern_generator_destroy(g);
    tern_model_close(model);
    tern_pool_destroy(pool);
    return status != TERN_OK;
}
