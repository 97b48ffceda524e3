#include "frontends/cli/text_out.h"

#include <string.h>

static TernStatus write_file(const char *path, const char *text, size_t n, TernError *err) {
    TnWriter w;
    TN_TRY(tn_writer_open(path, &w, err));
    TernStatus st = tn_writer_put(&w, text, n, err);
    if (st == TERN_OK) return tn_writer_commit(&w, err);
    tn_writer_abort(&w);
    return st;
}

void take_text(void *user, const char *what, const char *text, size_t n) {
    TextOut *o = user;
    if (take_note(what, text, n)) return;
    if (strcmp(what, "time") == 0 || strcmp(what, "verify") == 0 || strcmp(what, "faults") == 0) {
        fwrite(text, 1, n, stderr);
    } else if (strcmp(what, "result") != 0) {
        printf("; after %s\n", what);
        fwrite(text, 1, n, stdout);
    } else if (o->path && strcmp(o->path, "-") != 0) {
        fflush(stdout); /* which the path may name */
        o->status = write_file(o->path, text, n, &o->err);
    } else {
        fwrite(text, 1, n, stdout);
    }
}

int text_ended(TernStatus st, const TernError *err, const TextOut *out) {
    if (st != TERN_OK) return fail(err);
    return out->status == TERN_OK ? EXIT_OK : fail(&out->err);
}

const char *family_help(char *text, const char *levels) {
    snprintf(
        text, 200,
        "%s: the processors that weights are packed and fetched ahead for; default: here, or any with %s",
        tn_family_names(), levels);
    return text;
}
