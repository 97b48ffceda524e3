/* Writes pictures: the text to a file, or through Graphviz. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "frontends/cli/cli.h"

typedef struct Out {
    const char *path; /* "-" or NULL: standard output */
    bool svg;
    int code;
} Out;

static bool to_stdout(const char *path) {
    return !path || strcmp(path, "-") == 0;
}

static int write_text(const char *path, const char *text, size_t n) {
    TnWriter w;
    TernError err = {0};
    if (to_stdout(path)) {
        fwrite(text, 1, n, stdout);
        return EXIT_OK;
    }
    if (tn_writer_open(path, &w, &err) != TERN_OK) return fail(&err);
    if (tn_writer_put(&w, text, n, &err) != TERN_OK) {
        tn_writer_abort(&w);
        return fail(&err);
    }
    return tn_writer_commit(&w, &err) == TERN_OK ? EXIT_OK : fail(&err);
}

/* Runs dot on a text and returns all of its standard output; NULL if it could not be run. *status as from
 * waitpid. */
static char *run_dot(const char *text, size_t n, size_t *out_n, int *status) {
    int in[2], out[2];
    if (pipe(in) != 0) return NULL;
    if (pipe(out) != 0) {
        close(in[0]);
        close(in[1]);
        return NULL;
    }
    fflush(stdout);
    pid_t feeder = fork_child(), child = feeder > 0 ? fork_child() : -1;
    if (feeder ==
        0) { /* writes to dot's input while the parent reads its output: otherwise both pipes could fill up */
        close(in[0]);
        close(out[0]);
        close(out[1]);
        for (ssize_t k; n && (k = write(in[1], text, n)) > 0;) text += k, n -= (size_t)k;
        _exit(0);
    }
    if (child == 0) {
        if (dup2(in[0], 0) < 0 || dup2(out[1], 1) < 0) _exit(1);
        close(in[0]);
        close(in[1]);
        close(out[0]);
        close(out[1]);
        execlp("dot", "dot", "-Tsvg", (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(in[1]);
    close(out[1]);
    char *svg = NULL;
    size_t len = 0, cap = 0;
    for (;;) {
        if (cap - len < 65536) svg = tn_xrealloc(svg, cap = cap * 2 + 131072);
        ssize_t k = read(out[0], svg + len, cap - len);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) break;
        len += (size_t)k;
    }
    close(out[0]);
    if (feeder > 0) waitpid(feeder, NULL, 0);
    *out_n = len;
    if (child > 0 && waitpid(child, status, 0) == child) return svg;
    free(svg);
    return NULL;
}

static int no_dot(void) {
    return fail_text("--svg: Graphviz' program 'dot' is not on PATH: apt install graphviz, or use --dot, "
                     "which does not need it");
}

/* Searches as execlp will. Without a PATH, execlp searches the system's default folders. */
static bool dot_is_there(void) {
    const char *path = getenv("PATH");
    for (const char *p = path; p; p = strchr(p, ':') ? strchr(p, ':') + 1 : NULL) {
        char name[4096];
        int n = (int)strcspn(p, ":"), m = snprintf(name, sizeof name, "%.*s%sdot", n, p, n ? "/" : "");
        if (m > 0 && (size_t)m < sizeof name && access(name, X_OK) == 0) return true;
    }
    return !path;
}

static int write_svg(const char *path, const char *text, size_t n) {
    int status = 0;
    size_t len;
    char *svg = run_dot(text, n, &len, &status);
    int code;
    if (!svg)
        code = fail_text("--svg: could not start a process: %s", strerror(errno));
    else if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        code = no_dot();
    else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        code = fail_text("--svg: Graphviz' program 'dot' failed");
    else
        code = write_text(path, svg, len);
    free(svg);
    return code;
}

static void keep_text(void *user, const char *what, const char *text, size_t n) {
    Out *o = user;
    if (take_note(what, text, n)) return;
    if (strcmp(what, "result") != 0)
        fwrite(text, 1, n, stderr);
    else
        o->code = o->svg ? write_svg(o->path, text, n) : write_text(o->path, text, n);
}

int show_picture(const TerncPicture *picture, const char *path, bool svg) {
    Out o = {.path = path, .svg = svg};
    TernError err = {0};
    if (svg && !dot_is_there()) return no_dot();
    return ternc()->picture(picture, keep_text, &o, &err) == TERN_OK ? o.code : fail(&err);
}
