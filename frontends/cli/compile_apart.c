/* A compile in a process of its own: both of its sides (compile_apart.h). */
#include "frontends/cli/compile_apart.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/wait.h>
#include <unistd.h>
#include "runtime/base/status.h"

static const char verb_name[] = "compile-kept", no_memory[] = "out of memory";

/* What travels. */
typedef struct Work {
    ModelFlags m;
    int64_t context;
    const char *output;
    int64_t life; /* the process ends when this descriptor does */
} Work;
enum { WORK_FLAGS = 24 };
#define WORK_FLAGS_OF(w)                                                                                       \
    MODEL_FLAGS((w).m), {"--ctx-size", "N", FLAG_INT, &(w).context, 1, 1 << 24, "the context"},                \
        {"--output", "FILE", FLAG_STR, &(w).output, 0, 0, "the file that is kept"},                            \
        {"--life", "FD", FLAG_INT, &(w).life, 3, INT32_MAX, "a descriptor that lives as long as the starter"}, \
        FLAG_END

/* ---- The starter's side: the words */

typedef struct Words {
    TnArena text;
    char *v[4 + WORK_FLAGS + 64];
    size_t n;
} Words;

static void add_word(Words *w, const char *name, const char *value) {
    TnBuf word = {0};
    TN_CHECK(w->n + 1 < TN_COUNT(w->v));
    tn_buf_printf(&word, value ? "%s=%s" : "%s", name, value ? value : "");
    w->v[w->n++] = tn_strndup(&w->text, word.data, word.len);
    tn_buf_free(&word);
}

static void add_flag(Words *w, const Flag *f) {
    const char *last = strrchr(f->names, ' '), *name = last ? last + 1 : f->names, *text;
    const StrList *list = f->out;
    char number[32];
    switch (f->kind) {
    case FLAG_BOOL:
        if (*(const bool *)f->out) add_word(w, name, NULL);
        return;
    case FLAG_STR:
        text = *(const char *const *)f->out;
        if (text) add_word(w, name, text);
        return;
    case FLAG_LIST:
        for (uint32_t i = 0; i < list->n; i++) add_word(w, name, list->v[i]);
        return;
    case FLAG_INT:
        snprintf(number, sizeof number, "%lld", (long long)*(const int64_t *)f->out);
        if (*(const int64_t *)f->out) add_word(w, name, number);
        return;
    default:
        TN_CHECK(false); /* no flag of models has another kind */
    }
}

static void write_words(const ModelFlags *flags, const char *device, const char *path, int life, Words *w) {
    Work work = {.m = *flags, .context = flags->context, .output = path, .life = life};
    work.m.device = device;
    work.m.threads = 0; /* of the pool */
    const Flag table[] = {WORK_FLAGS_OF(work)};
    *w = (Words){.n = 0};
    add_word(w, "tern", NULL);
    add_word(w, verb_name, NULL);
    for (const Flag *f = table; f->names; f++) add_flag(w, f);
    w->v[w->n] = NULL;
}

/* ---- The starter's side: the process */

typedef struct Child {
    pid_t pid;
    int life, lines; /* what is closed to end it; its output */
} Child;

/* The name of this program's file, unless that is another file by now. */
static const char *own_program(char *out, size_t size) {
    ssize_t n = readlink("/proc/self/exe", out, size - 1);
    if (n > 0) out[n] = 0;
    if (n > 0 && access(out, X_OK) == 0) return out;
    if (access("/proc/self/exe", X_OK) == 0) return "/proc/self/exe";
    const char *name = (const char *)getauxval(AT_EXECFN);
    return name ? name : "tern";
}

/* In a group of its own: what a terminal sends is for the starter. It has the starter's standard input, which may be the model.
 * Returns an errno value. */
static int spawn(Child *c, char *const *words, int life, int out) {
    char program[4096];
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none;
    sigemptyset(&none);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&how);
    posix_spawn_file_actions_adddup2(&files, life, life); /* it stays open there */
    posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, out, STDERR_FILENO);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setpgroup(&how, 0);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    int why = posix_spawn(&c->pid, own_program(program, sizeof program), &files, &how, words, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&how);
    return why;
}

static TernStatus start(Child *c, const ModelFlags *flags, const char *device, const char *path,
                        TernError *err) {
    Words words;
    int life[2] = {-1, -1}, out[2] = {-1, -1};
    int why = pipe2(life, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0 ? errno : 0;
    write_words(flags, device, path, life[0], &words);
    if (!why) why = spawn(c, words.v, life[0], out[1]);
    tn_arena_free(&words.text);
    if (life[0] >= 0) close(life[0]);
    if (out[1] >= 0) close(out[1]);
    c->life = life[1];
    c->lines = out[0];
    if (!why) return TERN_OK;
    bool scarce = why == ENOMEM || why == EAGAIN || why == EMFILE || why == ENFILE;
    return tn_fail(err, scarce ? TERN_ERR_MEMORY : TERN_ERR_UNSUPPORTED,
                   "the compiler's process could not be started: %s", strerror(why));
}

/* What it has said. */
typedef struct Said {
    char line[2048]; /* so far */
    size_t n;
    char phase[64];
    uint64_t done, total;
    TernStatus status; /* of its error line */
    char error[1024];
    char last[1024]; /* a line that is none of ours */
    TerncReport *report;
} Said;

static void copy(char *to, size_t size, const char *from) {
    size_t n = strnlen(from, size - 1);
    memcpy(to, from, n);
    to[n] = 0;
}

static void take_line(Said *s) {
    unsigned status;
    int at = 0;
    const char *line = s->line;
    if (sscanf(line, "@progress %63s %" SCNu64 " %" SCNu64, s->phase, &s->done, &s->total) == 3) return;
    if (sscanf(line, "@error %u %n", &status, &at) == 1 && at) {
        s->status = (TernStatus)status;
        copy(s->error, sizeof s->error, line + at);
    } else if (strncmp(line, "@note ", 6) == 0)
        print_note(NULL, line + 6);
    else if (strncmp(line, "@refused ", 9) == 0)
        copy(s->report->refused, sizeof s->report->refused, line + 9);
    else if (*line)
        copy(s->last, sizeof s->last, line);
}

static void take_bytes(Said *s, const char *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] != '\n') {
            if (s->n + 1 < sizeof s->line) s->line[s->n++] = bytes[i];
            continue;
        }
        s->line[s->n] = 0;
        take_line(s);
        s->n = 0;
    }
}

/* Ends it, at once if it does not by itself. */
static void stop(Child *c) {
    enum { PATIENCE = 5000 }; /* milliseconds */
    char bytes[512];
    double end = tn_os_seconds() + PATIENCE / 1e3;
    close(c->life);
    c->life = -1;
    for (;;) {
        int left = (int)((end - tn_os_seconds()) * 1e3);
        struct pollfd p = {.fd = c->lines, .events = POLLIN};
        if (left <= 0 || poll(&p, 1, left) == 0) break;
        if (p.revents && read(c->lines, bytes, sizeof bytes) == 0) return;
    }
    kill(c->pid, SIGKILL);
}

/* Until it has closed its output. False: cancelled. */
static bool listen_to(Child *c, Said *s,
                      int (*progress)(void *user, const char *phase, uint64_t done, uint64_t total),
                      void *user) {
    enum { PAUSE = 50 }; /* milliseconds */
    char bytes[4096];
    for (;;) {
        struct pollfd p = {.fd = c->lines, .events = POLLIN};
        int ready = poll(&p, 1, PAUSE);
        ssize_t n = ready > 0 ? read(c->lines, bytes, sizeof bytes) : -1;
        if (n == 0) return true;
        if (n > 0) take_bytes(s, bytes, (size_t)n);
        if (progress(user, s->phase, s->done, s->total)) return false;
    }
}

static int wait_for(pid_t pid) {
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return -1;
    return status;
}

/* Of a process that ended without a word of ours. */
static TernStatus say_end(const Said *s, int status, TernError *err) {
    const char *text = s->last;
    static const char *const before[] = {"tern: ", "error: "};
    if (status >= 0 && WIFSIGNALED(status)) {
        int sig = WTERMSIG(status);
        return tn_fail(err, sig == SIGKILL ? TERN_ERR_MEMORY : TERN_ERR_UNSUPPORTED,
                       "the compiler's process was ended by signal %d (%s)%s", sig, strsignal(sig),
                       sig == SIGKILL ? ": perhaps there was no memory" : "");
    }
    for (size_t i = 0; i < TN_COUNT(before); i++)
        if (strncmp(text, before[i], strlen(before[i])) == 0) text += strlen(before[i]);
    bool memory = strncmp(text, no_memory, strlen(no_memory)) == 0 || strstr(text, "allocate memory");
    if (*text) return tn_fail(err, memory ? TERN_ERR_MEMORY : TERN_ERR_UNSUPPORTED, "%s", text);
    return tn_fail(err, TERN_ERR_UNSUPPORTED, "the compiler's process ended with status %d",
                   status >= 0 ? WEXITSTATUS(status) : -1);
}

TernStatus compile_apart(const ModelFlags *flags, const char *device, const char *path,
                         int (*progress)(void *user, const char *phase, uint64_t done, uint64_t total),
                         void *user, TerncReport *report, TernError *err) {
    Child child = {.pid = 0};
    Said said = {.report = report, .phase = ""};
    TernStatus st = start(&child, flags, device, path, err);
    bool whole = st == TERN_OK && listen_to(&child, &said, progress, user);
    if (st == TERN_OK && !whole) stop(&child);
    int status = st == TERN_OK ? wait_for(child.pid) : 0;
    if (child.life >= 0) close(child.life);
    if (child.lines >= 0) close(child.lines);
    if (st != TERN_OK) return st;
    if (!whole) return tn_fail(err, TERN_ERR_CANCELLED, "cancelled");
    if (status == 0) return TERN_OK;
    if (said.status == TERN_ERR_ENV && strstr(said.error, no_memory)) said.status = TERN_ERR_MEMORY;
    if (said.status) return tn_fail(err, said.status, "%s", said.error);
    return say_end(&said, status, err);
}

/* ---- The process' side */

bool is_compile_apart(const char *word) {
    return strcmp(word, verb_name) == 0;
}

/* A line in one write, so that threads do not mix theirs. */
static void answer(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void answer(const char *fmt, ...) {
    char line[2048];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (n >= (int)sizeof line) line[(n = (int)sizeof line - 1) - 1] = '\n';
    ssize_t put = write(STDOUT_FILENO, line, (size_t)n);
    (void)put;
}

static int answer_progress(void *user, const char *phase, uint64_t done, uint64_t total) {
    double *last = user, now = tn_os_seconds();
    if (now - *last < 0.05 && done < total) return 0;
    *last = now;
    answer("@progress %s %" PRIu64 " %" PRIu64 "\n", phase, done, total);
    return 0;
}

static void answer_note(void *user, const char *line) {
    (void)user;
    answer("@note %s\n", line);
}

/* Whoever started this has ended, or wants no more of it. */
static void *watch_life(void *user) {
    char byte;
    ssize_t n;
    const Work *w = user;
    do n = read((int)w->life, &byte, 1);
    while (n > 0 || (n < 0 && errno == EINTR));
    tn_writer_clean_up();
    _exit(EXIT_INPUT);
}

/* Signals for the whole of a service or a terminal are the starter's, who may want the model in spite of one. Where memory is short,
 * the system is to take it from here. */
static bool settle(Work *w) {
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    pthread_t watcher;
    for (size_t i = 0; i < TN_COUNT(ignored); i++) signal(ignored[i], SIG_IGN);
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    ssize_t put = fd >= 0 ? write(fd, "1000", 4) : 0;
    (void)put;
    if (fd >= 0) close(fd);
    return pthread_create(&watcher, NULL, watch_life, w) == 0 && pthread_detach(watcher) == 0;
}

int compile_apart_here(int argc, char **argv) {
    static const Verb verb = {verb_name, "--model=MODEL --output=FILE --life=FD", "", NULL};
    Work w = {.context = 0};
    double last = 0;
    int n;
    const char *none;
    TerncSource source;
    TerncOptions o;
    TerncReport report = {.refused = ""};
    TernError err = {0};
    const TerncCalls *compiler;
    const Flag flags[] = {WORK_FLAGS_OF(w)};
    parse_args(&verb, flags, argc, argv, &none, 0, &n);
    if (!w.output || !w.life) usage_error(&verb, "missing --output FILE or --life FD");
    if (!settle(&w)) return fail_text("no thread could be started");
    w.m.context = (uint32_t)w.context;
    load_arguments(&verb, &w.m, w.m.device, &source, &o);
    source.note = answer_note;
    o.progress = answer_progress;
    o.user = &last;
    o.best = 1;
    TernStatus st = find_ternc(&compiler, &err);
    if (st == TERN_OK) st = compiler->compile(&source, &o, w.output, &report, &err);
    if (st == TERN_OK && *report.refused) answer("@refused %s\n", report.refused);
    if (st != TERN_OK) answer("@error %u %s\n", (unsigned)st, err.text);
    set_work(false);
    return st == TERN_OK ? EXIT_OK : EXIT_INPUT;
}
