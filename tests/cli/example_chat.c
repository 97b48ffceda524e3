/* The example of runtime/generate/conversation.h as a program: answers each line. Usage: example_chat MODEL.tern [NAME],
 * where NAME is that of a chat template, for a model that has none. C11 and C++11. */
#include <stdio.h>
#include <string.h>
#include "generate/conversation.h"

static int print(void *user, const TernPiece *p) {
    return fwrite(p->text, 1, p->size, (FILE *)user) != p->size;
}

int main(int argc, char **argv) {
    TernError err;
    TernPool *pool;
    TernModel *model;
    TernGenerator *g;
    TernConversation *chat;
    char line[1000];
    if (argc < 2 || argc > 3) return 2;
    TernConversationOptions o;
    memset(&o, 0, sizeof o);
    o.size = sizeof o;
    if (argc == 3) o.chat_template = tern_chat_template_find(argv[2]);
    if (tern_pool_create(NULL, &pool, &err) || tern_model_open(argv[1], NULL, &model, &err) ||
        tern_generator_create(model, pool, NULL, &g, &err) || tern_conversation_create(g, &o, &chat, &err))
        return fprintf(stderr, "%s\n", err.text), 1;
    TernSamplerOptions greedy = TERN_SAMPLER_OPTIONS;
    greedy.temp = 0;
    TernRequest how = TERN_REQUEST;
    how.max_tokens = 16;
    how.sampler = &greedy;
    while (fgets(line, sizeof line, stdin)) {
        TernText text = {line, strcspn(line, "\n")};
        if (tern_conversation_ask(chat, text, &how, print, stdout, NULL, &err))
            fprintf(stderr, "%s\n", err.text);
        putchar('\n');
    }
    tern_conversation_destroy(chat);
    tern_generator_destroy(g);
    tern_model_close(model);
    tern_pool_destroy(pool);
    return 0;
}
