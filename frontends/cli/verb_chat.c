/* tern chat: a conversation with a model, on a terminal or through a pipe. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "frontends/cli/chat_verb.h"
#include "runtime/base/escape.h"

#define TEXT_LIMIT ((size_t)1 << 28)

/* ---- Before there is code */

static TernText text_of(const char *s) {
    return (TernText){s, s ? strlen(s) : 0};
}

/* A file is read once, since it may be a pipe. The model's template is its vocabulary's. */
static int take_source(Chat *c, const TernVocab *vocab) {
    if (c->own_source) return EXIT_OK;
    return chat_source(c->f->choice, vocab, &c->source, &c->own_source);
}

static int take_file(const char *path, TernText *out) {
    TernError err = {0};
    char *text = NULL;
    size_t n = 0;
    if (!path || out->data) return EXIT_OK;
    if (read_text_file(path, TEXT_LIMIT, &text, &n, &err) != TERN_OK) return fail(&err);
    *out = (TernText){text, n};
    return EXIT_OK;
}

/* What any template would refuse of tools and variables: an empty one is rendered with them. */
static TernStatus try_render(TernText tools, TernText variables, TernError *err) {
    TernChatTemplate *nothing;
    TernChatText out = {0};
    TernChatInput in = TERN_CHAT_INPUT;
    in.tools = tools;
    in.extra = variables;
    TN_TRY(tern_chat_template_create(text_of(""), &nothing, err));
    TernStatus st = tern_chat_render(nothing, &in, &out, err);
    tern_chat_text_free(&out);
    tern_chat_template_destroy(nothing);
    return st;
}

static int check_json(Chat *c) {
    const ChatFlags *f = c->f;
    TernError err = {0};
    int code = take_file(f->tools, &c->tools);
    if (code == EXIT_OK) code = take_file(f->load, &c->loaded);
    if (code != EXIT_OK) return code;
    if (f->load && tern_messages_check(c->loaded, f->load, &err) != TERN_OK) return fail(&err);
    TernStatus st = try_render(c->tools, (TernText){NULL, 0}, &err);
    if (st != TERN_OK) return fail_text("%s: %s", f->tools, err.text);
    st = try_render((TernText){NULL, 0}, text_of(f->kwargs), &err);
    return st == TERN_OK ? EXIT_OK : fail_text("--chat-template-kwargs: %s", err.text);
}

static int known(void *user, const TernModelInfo *info, const void *image, size_t image_bytes) {
    Chat *c = user;
    TernError err = {0};
    TernVocab *vocab = NULL;
    TernChatTemplate *template = NULL;
    if (!image) return fail_text("the model has no tokenizer, which a conversation needs");
    if (tern_vocab_open(image, image_bytes, &vocab, &err) != TERN_OK) return fail(&err);
    int code = take_source(c, vocab);
    if (code == EXIT_OK) code = chat_parse(c->f->choice, c->source, &template);
    tern_chat_template_destroy(template);
    if (code == EXIT_OK) code = check_json(c);
    if (code == EXIT_OK) code = constraint_open(&c->f->c, vocab, &c->constraint);
    if (code == EXIT_OK) code = settle_generate(&c->f->g, info, &c->context);
    if (code == EXIT_OK) code = constraint_check(&c->constraint, &c->f->g, info);
    constraint_close(&c->constraint);
    tern_vocab_close(vocab);
    return code;
}

/* ---- The conversation */

static TernFull when_full(const Verb *verb, const char *word) {
    if (!word || strcmp(word, "drop") == 0) return TERN_FULL_DROP;
    if (strcmp(word, "stop") == 0) return TERN_FULL_STOP;
    usage_error(verb, "--context-full: '%s', expected drop or stop", word);
}

/* Local time: strftime_now of Hugging Face is. */
static int64_t clock_here(void) {
    struct tm tm;
    time_t now = time(NULL);
    return localtime_r(&now, &tm) ? (int64_t)now + tm.tm_gmtoff : (int64_t)now;
}

static int converse(Chat *c) {
    const ChatFlags *f = c->f;
    TernError err = {0};
    TernConversationOptions o = {.size = sizeof o,
                                 .tools = c->tools,
                                 .variables = text_of(f->kwargs),
                                 .full = f->when_full,
                                 .now = f->now >= 0 ? f->now : clock_here()};
    int code = take_source(c, c->vocab);
    o.chat_template = c->source;
    if (code == EXIT_OK && tern_conversation_create(c->generator, &o, &c->talk, &err) != TERN_OK)
        code = fail(&err);
    if (code == EXIT_OK && f->load &&
        tern_conversation_load_text(c->talk, c->loaded, f->load, &err) != TERN_OK)
        code = fail(&err);
    if (code == EXIT_OK && f->system &&
        tern_conversation_set_system(c->talk, text_of(f->system), &err) != TERN_OK)
        code = fail(&err);
    return code;
}

static TernStatus make_generator(Chat *c, TernError *err) {
    const ChatFlags *f = c->f;
    size_t n = 0;
    const void *image = tern_model_vocab(c->model.model, &n);
    tern_vocab_close(c->vocab); /* of a model that was closed */
    c->vocab = NULL;
    TN_TRY(tern_vocab_open(image, n, &c->vocab, err));
    TernGeneratorOptions o = {.size = sizeof o,
                              .context = c->context,
                              .draft_max = (uint32_t)f->g.draft,
                              .kv = f->kv,
                              .vocab = c->vocab};
    return tern_generator_create(c->model.model, c->model.pool, &o, &c->generator, err);
}

static int prepare(Chat *c) {
    const ChatFlags *f = c->f;
    TernError err = {0};
    for (TernStatus st; (st = make_generator(c, &err)) != TERN_OK;)
        if (!load_for_cpu(&c->model, st, &err)) return fail(&err);
    report_start(&c->model);
    int code = constraint_open(&f->c, c->vocab, &c->constraint);
    if (code == EXIT_OK) code = converse(c);
    if (code != EXIT_OK) return code;
    report_quota(f->m.threads || f->m.cpus);
    report_huge(&f->m, &c->model);
    return EXIT_OK;
}

static void greet(const Chat *c) {
    size_t n = tern_conversation_count(c->talk);
    TernModelInfo info = c->model.info;
    chat_say("%s, %s, %u threads, %u positions; /help lists the commands", tn_shown(info.name).s, info.level,
             tern_pool_threads(c->model.pool), c->context);
    if (c->f->load) chat_say("loaded %zu message%s", n, n == 1 ? "" : "s");
}

/* The text of -p or -f; NULL: neither is given. */
static int first_message(const ChatFlags *f, char **out) {
    TernError err = {0};
    size_t n = 0;
    *out = f->prompt ? strdup(f->prompt) : NULL;
    if (!f->file) return EXIT_OK;
    if (read_text_file(f->file, TEXT_LIMIT, out, &n, &err) != TERN_OK) return fail(&err);
    if (memchr(*out, 0, n)) return fail_text("%s: has a NUL byte, expected text", f->file);
    if (n && (*out)[n - 1] == '\n') (*out)[n - 1] = '\0';
    return EXIT_OK;
}

static int chat(Chat *c) {
    char *first = NULL;
    int code = prepare(c);
    if (code == EXIT_OK) code = first_message(c->f, &first);
    if (code == EXIT_OK) {
        c->screen = screen_open(c->f->hide);
        c->input = input_open(!c->f->no_history);
        c->seed = c->f->g.seed == TERN_SEED_RANDOM ? tn_os_random_seed() >> 32 : c->f->g.seed;
        if (c->input.terminal) greet(c);
        code = chat_loop(c, first);
        input_close(&c->input);
        screen_close(&c->screen);
        note_saturated(tern_session_saturated(tern_generator_session(c->generator)));
    }
    free(first);
    return code;
}

static void read_flags(const Verb *verb, int argc, char **argv, ChatFlags *f) {
    const Flag flags[] = {
        {"-sys --system-prompt", "TEXT", FLAG_TEXT, &f->system, 0, 0, "the system message"},
        {"-p --prompt", "TEXT", FLAG_TEXT, &f->prompt, 0, 0, "the first message"},
        {"-f --file", "FILE", FLAG_STR, &f->file, 0, 0, "a file with the first message; - is standard input"},
        {"-st --single-turn", NULL, FLAG_BOOL, &f->single, 0, 0, "leave after the first answer"},
        {"--load", "FILE", FLAG_STR, &f->load, 0, 0, "go on with the messages of a file that /save wrote"},
        CHAT_TEMPLATE_FLAG(f->choice),
        DATE_FLAG(f->date),
        {"--chat-template-kwargs", "JSON", FLAG_STR, &f->kwargs, 0, 0,
         "further variables of the template: a JSON object, such as {\"enable_thinking\": false}"},
        {"--tools", "FILE", FLAG_STR, &f->tools, 0, 0, "the tools that the model may call: JSON, a list"},
        {"--context-full", "drop|stop", FLAG_STR, &f->full, 0, 0,
         "what happens to the oldest turns when the context is full: they are dropped (default), or it is an "
         "error"},
        {"--hide-thinking", NULL, FLAG_BOOL, &f->hide, 0, 0, "do not print text from <think> to </think>"},
        {"--no-history", NULL, FLAG_BOOL, &f->no_history, 0, 0,
         "do not read or keep the lines typed (tern/chat-history in $XDG_CACHE_HOME or ~/.cache)"},
        GENERATE_FLAGS(f->g),
        CONSTRAIN_FLAGS(f->c),
        TUNED_SESSION_FLAGS(f->m),
        FLAG_END,
    };
    int n_words;
    parse_args(verb, flags, argc, argv, &f->m.model, 1, &n_words);
}

/* Refuses flags that do not go together, and reads the words of those that have some. */
static void check_flags(const Verb *verb, ChatFlags *f) {
    if (f->prompt && f->file) usage_error(verb, "-p and -f exclude each other");
    if (f->g.n == 0) usage_error(verb, "%s 0: an answer has at least one token", flag_given(&f->g.n));
    f->when_full = when_full(verb, f->full);
    f->kv = kv_of_flags(verb, &f->m);
    f->now = f->date ? read_date(verb, f->date) : -1;
    note_idle_flags(&f->g);
}

static void close_chat(Chat *c) {
    tern_conversation_destroy(c->talk);
    tern_generator_destroy(c->generator);
    constraint_free(&c->constraint);
    tern_vocab_close(c->vocab);
    unload_model(&c->model);
    free(c->own_source);
    free((char *)c->tools.data);
    free((char *)c->loaded.data);
}

int verb_chat(const Verb *verb, int argc, char **argv) {
    ChatFlags f = {.g = GENERATE_DEFAULTS};
    read_flags(verb, argc, argv, &f);
    check_flags(verb, &f);
    Chat c = {.f = &f, .got = {.size = sizeof c.got}};
    constraint_parse(verb, &f.c, &f.g, &c.constraint);
    bool all_given = f.single && (f.prompt || f.file), from_file = f.file && strcmp(f.file, "-") == 0;
    const TnFileUse files[] = {
        MODEL_FILES(f.m),
        {"-f", f.file, TN_FILE_IN},
        {"--load", f.load, TN_FILE_IN},
        CONSTRAIN_FILES(f.c),
        {"--tools", f.tools, TN_FILE_IN},
        {"--chat-template", chat_template_file(f.choice), TN_FILE_IN},
        {"the messages", all_given || from_file ? NULL : "-", TN_FILE_IN},
        STANDARD_OUTPUT,
        TUNE_FILE(f.m.tune),
    };
    c.verb = verb;
    c.files = files;
    c.n_files = TN_COUNT(files);
    f.m.context = f.g.context > 0 ? (uint32_t)f.g.context : 0;
    f.m.known = known;
    f.m.known_user = &c;
    int code = check_files(verb, files, TN_COUNT(files));
    if (code == EXIT_OK) code = load_model(verb, &f.m, &c.model);
    if (code == EXIT_OK) code = chat(&c);
    close_chat(&c);
    return code;
}
