/* The example of runtime/tern.h as a program: greedy ids from a blob. Usage: example_run MODEL.tern */
#include <stdio.h>
#include "tern.h"

static void sink(void *next, const TernResult *result) {
    *(int32_t *)next = result->id;
}

int main(int argc, char **argv) {
    TernError err;
    TernPool *pool;
    TernModel *model;
    TernSession *s;
    if (argc != 2) return 2;
    if (tern_pool_create(NULL, &pool, &err) || tern_model_open(argv[1], NULL, &model, &err) ||
        tern_session_create(model, pool, NULL, &s, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    int32_t next = -1; /* set by the sink */
    TernRow rows[4] = {{1789, 0, TERN_WANT_NOTHING},
                       {978, 0, TERN_WANT_NOTHING},
                       {1530, 0, TERN_WANT_NOTHING},
                       {317, 0, TERN_WANT_GREEDY}};
    if (tern_session_step(s, rows, 4, sink, &next, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    for (int i = 0; i < 16; i++) {
        printf("%d%s", next, i < 15 ? "," : "\n");
        TernRow row = {next, 0, TERN_WANT_GREEDY};
        if (tern_session_step(s, &row, 1, sink, &next, &err)) {
            fprintf(stderr, "%s\n", err.text);
            return 1;
        }
    }
    tern_session_destroy(s);
    tern_model_close(model);
    tern_pool_destroy(pool);
    return 0;
}
