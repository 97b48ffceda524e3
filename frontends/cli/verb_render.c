/* tern render: the text that a chat template makes of messages, or its token ids. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "frontends/cli/cli.h"

#define JSON_LIMIT ((size_t)256 << 20)

typedef struct RenderFlags {
    ModelFlags m;
    const char *choice, *messages, *tools, *kwargs, *bos, *eos, *date;
    bool no_prompt, ids;
} RenderFlags;

/* Seconds since 1970 of the date, or of now as the clock here shows it: strftime_now of Hugging Face is local. */
static int64_t clock_of(const Verb *verb, const char *date) {
    struct tm tm;
    time_t now = time(NULL);
    if (date) return read_date(verb, date);
    return localtime_r(&now, &tm) ? (int64_t)now + tm.tm_gmtoff : (int64_t)now;
}

static int read_json(const char *path, TernText *out, char **own) {
    TernError err = {0};
    if (!path) return EXIT_OK;
    if (read_text_file(path, JSON_LIMIT, own, &out->size, &err) != TERN_OK) return fail(&err);
    out->data = *own;
    return EXIT_OK;
}

static TernText token_text(const TernVocab *vocab, int32_t id) {
    return vocab && id != TERN_NO_TOKEN ? tern_token_get_bytes(vocab, id) : (TernText){NULL, 0};
}

static int print_ids(const TernVocab *vocab, const TernChatText *text) {
    TernError err = {0};
    size_t most = tern_encode_most(vocab, text->size), n;
    int32_t *ids = tn_xcalloc(most, sizeof *ids);
    int code = EXIT_OK;
    if (tern_chat_encode(vocab, text, ids, most, &n, &err) != TERN_OK) code = fail(&err);
    for (size_t i = 0; code == EXIT_OK && i < n; i++) printf("%s%d", i ? "," : "", ids[i]);
    if (code == EXIT_OK) printf("\n");
    free(ids);
    return code;
}

static int render(const Verb *verb, const RenderFlags *f, const TernVocab *vocab) {
    TernChatTemplate *chat;
    TernChatInput in = TERN_CHAT_INPUT;
    TernChatText out = {0};
    TernError err = {0};
    char *messages = NULL, *tools = NULL;
    in.now = clock_of(verb, f->date);
    int code = chat_template(f->choice, vocab, &chat);
    if (code == EXIT_OK) code = read_json(f->messages, &in.messages, &messages);
    if (code == EXIT_OK) code = read_json(f->tools, &in.tools, &tools);
    if (vocab) {
        TernVocabFacts facts = tern_vocab_get_facts(vocab);
        in.bos = token_text(vocab, facts.bos), in.eos = token_text(vocab, facts.eos);
    }
    if (f->bos) in.bos = (TernText){f->bos, strlen(f->bos)};
    if (f->eos) in.eos = (TernText){f->eos, strlen(f->eos)};
    if (f->kwargs) in.extra = (TernText){f->kwargs, strlen(f->kwargs)};
    in.add_generation_prompt = !f->no_prompt;
    if (code == EXIT_OK && tern_chat_render(chat, &in, &out, &err) != TERN_OK) code = fail(&err);
    if (code == EXIT_OK && f->ids)
        code = print_ids(vocab, &out);
    else if (code == EXIT_OK)
        fwrite(out.data, 1, out.size, stdout);
    tern_chat_text_free(&out);
    tern_chat_template_destroy(chat);
    free(messages);
    free(tools);
    return code;
}

int verb_render(const Verb *verb, int argc, char **argv) {
    RenderFlags f = {0};
    const Flag flags[] = {
        {"-m --model", "FILE", FLAG_STR, &f.m.model, 0, 0, "the model, if not given as a word"},
        {"--messages", "FILE", FLAG_STR, &f.messages, 0, 0,
         "the messages: JSON, a list of objects with role and content; - is standard input"},
        CHAT_TEMPLATE_FLAG(f.choice),
        {"--tools", "FILE", FLAG_STR, &f.tools, 0, 0, "the tools that the model may call: JSON, a list"},
        {"--chat-template-kwargs", "JSON", FLAG_STR, &f.kwargs, 0, 0,
         "further variables of the template: a JSON object, such as {\"enable_thinking\": false}"},
        {"--no-generation-prompt", NULL, FLAG_BOOL, &f.no_prompt, 0, 0,
         "do not begin the turn of the answer"},
        {"--bos", "TEXT", FLAG_TEXT, &f.bos, 0, 0, "the text of BOS (default: the model's)"},
        {"--eos", "TEXT", FLAG_TEXT, &f.eos, 0, 0, "the text of EOS (default: the model's)"},
        DATE_FLAG(f.date),
        {"--ids", NULL, FLAG_BOOL, &f.ids, 0, 0,
         "print token ids; a control token that a message spells stays text"},
        {"--override-kv", "KEY=TYPE:VALUE", FLAG_LIST, &f.m.overrides, 0, 0,
         "replace a metadata key of a .gguf"},
        FLAG_END,
    };
    int n_words;
    parse_args(verb, flags, argc, argv, &f.m.model, 1, &n_words);
    if (!f.messages) usage_error(verb, "missing --messages FILE");
    if (!f.m.model && !f.choice) usage_error(verb, "expected a MODEL or --chat-template");
    if (!f.m.model) {
        only_with(verb, &f.ids, false, "a MODEL");
        only_with(verb, &f.m.overrides, false, "a MODEL");
    }
    const TnFileUse files[] = {{"the model", f.m.model, TN_FILE_MODEL},
                               {"--messages", f.messages, TN_FILE_IN},
                               {"--tools", f.tools, TN_FILE_IN},
                               {"--chat-template", chat_template_file(f.choice), TN_FILE_IN},
                               STANDARD_OUTPUT};
    if (check_files(verb, files, TN_COUNT(files)) != EXIT_OK) return EXIT_INPUT;
    if (!f.m.model) return render(verb, &f, NULL);
    TernVocab *vocab;
    void *image;
    TernModel *model;
    int code = load_vocab(verb, &f.m, &vocab, &image, &model);
    if (code != EXIT_OK) return code;
    code = render(verb, &f, vocab);
    tern_vocab_close(vocab);
    tern_model_close(model);
    free(image);
    return code;
}
