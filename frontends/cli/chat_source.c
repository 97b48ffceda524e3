/* The chat template of a verb: --chat-template NAME|FILE, else the model's own. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "frontends/cli/cli.h"
#include "runtime/base/status.h"

#define TEMPLATE_LIMIT ((size_t)4 << 20) /* what the library takes */

const char *chat_template_help(void) {
    static char text[400];
    size_t n = (size_t)snprintf(text, sizeof text,
                                "a chat template instead of the model's own: a file of Jinja, or one of");
    for (size_t i = 0; tern_chat_template_name(i) && n < sizeof text; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s %s", i ? "," : "", tern_chat_template_name(i));
    return text;
}

/* "name, name, name" */
static void put_names(TnBuf *out) {
    for (size_t i = 0; tern_chat_template_name(i); i++)
        tn_buf_printf(out, "%s%s", i ? ", " : "", tern_chat_template_name(i));
}

static int refuse(const char *choice) {
    TnBuf names = {0};
    int code;
    put_names(&names);
    if (choice)
        code = fail_text("--chat-template: got '%s', expected a file or one of %s", choice, names.data);
    else
        code = fail_text("the model has no chat template, expected --chat-template with a file or one of %s",
                         names.data);
    tn_buf_free(&names);
    return code;
}

int chat_source(const char *choice, const TernVocab *vocab, TernText *out, char **own) {
    TernError err = {0};
    *own = NULL;
    *out = choice  ? tern_chat_template_find(choice)
           : vocab ? tern_vocab_get_facts(vocab).chat_template
                   : (TernText){NULL, 0};
    if (choice && !out->data) {
        if (strcmp(choice, "-") != 0 && !tn_os_exists(choice)) return refuse(choice);
        if (read_text_file(choice, TEMPLATE_LIMIT, own, &out->size, &err) != TERN_OK) return fail(&err);
        out->data = *own;
    }
    return !choice && out->size == 0 ? refuse(NULL) : EXIT_OK;
}

const char *chat_template_file(const char *choice) {
    bool file = choice && !tern_chat_template_find(choice).data;
    return file && (strcmp(choice, "-") == 0 || tn_os_exists(choice)) ? choice : NULL;
}

int chat_parse(const char *choice, TernText source, TernChatTemplate **out) {
    TernError err = {0};
    TernStatus st = tern_chat_template_create(source, out, &err);
    if (st == TERN_OK) return EXIT_OK;
    const char *file = chat_template_file(choice);
    tn_fail_in(&err, st, "%s", file ? file : choice ? "--chat-template" : "the model's chat template");
    return fail(&err);
}

int chat_template(const char *choice, const TernVocab *vocab, TernChatTemplate **out) {
    TernText source;
    char *own;
    *out = NULL;
    int code = chat_source(choice, vocab, &source, &own);
    if (code == EXIT_OK) code = chat_parse(choice, source, out);
    free(own);
    return code;
}

int64_t read_date(const Verb *verb, const char *date) {
    struct tm tm = {0};
    char *end = strptime(date, "%Y-%m-%d", &tm);
    int year = tm.tm_year, month = tm.tm_mon, day = tm.tm_mday;
    time_t t = end && !*end && strlen(date) == 10 ? timegm(&tm) : (time_t)-1;
    bool same = year == tm.tm_year && month == tm.tm_mon && day == tm.tm_mday; /* no 31st of June */
    if (t < 0 || !same) usage_error(verb, "--date: '%s', expected a day since 1970 as YYYY-MM-DD", date);
    return (int64_t)t;
}
