/* Signal handlers of the program. The libraries install none, and a pool's workers receive only faults.
 *
 * SIGINT, SIGTERM and SIGHUP end the program at once, with one line and status 128 + the signal, and
 * half-written files are removed. While a verb handles them itself (heed_signals), the first signal is only
 * recorded, so that the verb can end in order; a second one ends the program. A signal that was ignored when
 * the program started stays ignored (nohup, `command &` in a script).
 *
 * SIGBUS in a mapping of a file means that the file was cut short or its disk failed. One line names the
 * file. Any other SIGBUS keeps its action, so that a bug of ours still dumps core.
 *
 * Handlers run on any thread between any two instructions, so they call only async-signal-safe functions. */
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "frontends/cli/cli.h"

static volatile sig_atomic_t heeded, caught, trouble = EXIT_INPUT;

/* ---- a line without stdio */

typedef struct Line {
    char text[1024];
    size_t n;
} Line;

static void put(Line *l, const char *s) {
    for (; *s && l->n < sizeof l->text; s++) {
        unsigned char c = (unsigned char)*s;
        l->text[l->n++] = c < 0x20 || c == 0x7f ? '?' : *s;
    }
}

static void put_number(Line *l, uint64_t v) {
    char digits[24], *p = digits + sizeof digits - 1;
    *p = 0;
    do *--p = (char)('0' + v % 10);
    while (v /= 10);
    put(l, p);
}

_Noreturn static void end(int status, Line *l) {
    tn_writer_clean_up();
    if (l) {
        progress_wipe();
        if (l->n == sizeof l->text) l->n--;
        l->text[l->n++] = '\n';
        ssize_t n = write(STDERR_FILENO, l->text, l->n);
        (void)n;
    }
    _exit(status);
}

_Noreturn void end_at_once(const char *text) {
    Line l = {.n = 0};
    put(&l, text);
    end(trouble, &l);
}

/* ---- SIGINT, SIGTERM, SIGHUP */

static const struct {
    int number;
    const char *name;
} ends[] = {{SIGINT, "SIGINT"}, {SIGTERM, "SIGTERM"}, {SIGHUP, "SIGHUP"}};

static const char *name_of(int sig) {
    for (size_t i = 0; i < TN_COUNT(ends); i++)
        if (ends[i].number == sig) return ends[i].name;
    return "a signal";
}

static void on_end(int sig) {
    bool first = !caught;
    caught = sig;
    if (!first) end(128 + sig, NULL); /* no line: the program may hang in a write */
    if (heeded) return;
    Line l = {.n = 0};
    put(&l, "tern: ended by ");
    put(&l, name_of(sig));
    end(128 + sig, &l);
}

void heed_signals(bool on) {
    heeded = on;
}

int signal_status(void) {
    return caught ? 128 + caught : 0;
}

void forget_signal(void) {
    caught = 0;
}

void report_signal(void) {
    if (caught) fprintf(stderr, "tern: ended by %s\n", name_of(caught));
}

/* ---- SIGBUS */

typedef struct Mapping {
    uint64_t lo, hi, offset, inode;
    char *path;
} Mapping;

static uint64_t number(char **p, unsigned base) {
    uint64_t v = 0;
    for (;; (*p)++) {
        char c = **p;
        unsigned digit = base;
        if (c >= '0' && c <= '9') digit = (unsigned)(c - '0');
        if (c >= 'a' && c <= 'f') digit = (unsigned)(c - 'a') + 10;
        if (digit >= base) return v;
        v = v * base + digit;
    }
}

static void skip_word(char **p) {
    while (**p && **p != ' ') (*p)++;
    while (**p == ' ') (*p)++;
}

/* "lo-hi perms offset device inode   path" */
static Mapping read_mapping(char *line) {
    char *p = line;
    Mapping m = {.lo = number(&p, 16)};
    p += *p == '-';
    m.hi = number(&p, 16);
    skip_word(&p);
    skip_word(&p);
    m.offset = number(&p, 16);
    skip_word(&p);
    skip_word(&p);
    m.inode = number(&p, 10);
    skip_word(&p);
    m.path = p;
    return m;
}

/* The kernel writes a newline in a file name as \012. */
static void unescape(char *path) {
    char *to = path;
    for (const char *p = path; *p; to++) {
        bool newline = p[0] == '\\' && p[1] == '0' && p[2] == '1' && p[3] == '2';
        *to = newline ? '\n' : *p;
        p += newline ? 4 : 1;
    }
    *to = 0;
}

/* Finds the mapping that holds an address. Its path lies in `text`. */
static bool find_mapping(uint64_t at, char *text, size_t size, Mapping *out) {
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    size_t n = 0;
    bool found = false;
    while (fd >= 0 && !found) {
        ssize_t got = read(fd, text + n, size - 1 - n);
        if (got <= 0) break;
        n += (size_t)got;
        text[n] = 0;
        char *line = text, *stop;
        while (!found && (stop = strchr(line, '\n'))) {
            *stop = 0;
            *out = read_mapping(line);
            found = at >= out->lo && at < out->hi;
            line = stop + 1;
        }
        if (found) break;
        n -= (size_t)(line - text);
        memmove(text, line, n);
    }
    if (fd >= 0) close(fd);
    if (!found || out->path[0] != '/') return false;
    unescape(out->path);
    return true;
}

static struct sigaction bus_before; /* the default, or a sanitizer's */

static void on_bus(int sig, siginfo_t *info, void *context) {
    static atomic_flag one = ATOMIC_FLAG_INIT;
    static char text[8192];
    (void)context;
    while (atomic_flag_test_and_set(&one)) pause(); /* another worker has the same fault and reports it */
    uint64_t at = (uint64_t)(uintptr_t)info->si_addr;
    Mapping m;
    if (info->si_code <= 0 || !find_mapping(at, text, sizeof text, &m)) {
        sigaction(SIGBUS, &bus_before, NULL);
        if (info->si_code <= 0) raise(sig); /* a process sent it, so returning would not fault again */
        atomic_flag_clear(&one);
        return;
    }
    struct stat st;
    uint64_t byte = at - m.lo + m.offset;
    Line l = {.n = 0};
    enum { MOST = 600 }; /* bytes of the name that are shown, from its end: the rest of the line must fit */
    size_t n = strlen(m.path);
    put(&l, "tern: error: ");
    if (n > MOST) put(&l, "...");
    put(&l, m.path + (n > MOST ? n - MOST : 0));
    if (stat(m.path, &st) == 0 && st.st_ino == m.inode && (uint64_t)st.st_size <= byte) {
        put(&l, ": was cut short while it was in use: it has ");
        put_number(&l, (uint64_t)st.st_size);
        put(&l, " bytes now, byte ");
        put_number(&l, byte);
        put(&l, " was read");
    } else {
        put(&l, ": byte ");
        put_number(&l, byte);
        put(&l, " cannot be read any more: the file was cut short, or its disk failed");
    }
    end(trouble, &l);
}

static bool at_work;

/* A library that runs out of memory exits with 1, on any thread. Other threads may still be in the compiler
 * library, so its exit handlers must not run. */
static void end_work(int status, void *unused) {
    (void)unused;
    if (status != EXIT_INPUT || !at_work) return;
    fflush(stdout);
    end(trouble, NULL);
}

void set_work(bool on) {
    at_work = on;
    if (on) on_exit(end_work, NULL);
}

void set_trouble(int status) {
    trouble = status;
    set_work(true);
}

void start_signals(void) {
    for (size_t i = 0; i < TN_COUNT(ends); i++) {
        /* a second signal must get through while the first one's line is written */
        struct sigaction act = {.sa_handler = on_end, .sa_flags = SA_RESTART | SA_NODEFER}, before;
        if (sigaction(ends[i].number, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(ends[i].number, &act, NULL);
    }
    struct sigaction act = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO};
    sigaction(SIGBUS, &act, &bus_before);
}

static void stop_signals(void) {
    for (size_t i = 0; i < TN_COUNT(ends); i++) {
        struct sigaction before;
        if (sigaction(ends[i].number, NULL, &before) == 0 && before.sa_handler == on_end)
            signal(ends[i].number, SIG_DFL);
    }
}

pid_t fork_child(void) {
    sigset_t blocked, before;
    sigemptyset(&blocked);
    for (size_t i = 0; i < TN_COUNT(ends); i++) sigaddset(&blocked, ends[i].number);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    pid_t child = fork();
    if (child == 0) stop_signals();
    sigprocmask(SIG_SETMASK, &before, NULL);
    return child;
}
