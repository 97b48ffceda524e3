/* Lines on standard error beside work that must go on. Who reads them may stand still: then a pipe is full, and a write waits. */
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>
#include "frontends/cli/cli.h"

enum { LINE_MOST = 4096 }; /* what a pipe that takes anything takes at once */

static _Thread_local bool may_lose;
static _Thread_local unsigned long long n_lost;

void lines_may_be_lost(void) {
    may_lose = true;
}

bool line_has_room(void) {
    return !may_lose || poll(&(struct pollfd){.fd = STDERR_FILENO, .events = POLLOUT}, 1, 0) == 1;
}

static bool put(const char *line, size_t n) {
    if (!line_has_room()) return false;
    fwrite(line, 1, n, stderr);
    return true;
}

static bool say_lost(void) {
    char line[100];
    int n = snprintf(line, sizeof line, "tern: %llu line%s before this one %s lost: nobody read them\n",
                     n_lost, n_lost == 1 ? "" : "s", n_lost == 1 ? "was" : "were");
    if (n_lost && !put(line, (size_t)n)) return false;
    n_lost = 0;
    return true;
}

static void say_or_lose(const char *fmt, va_list ap) {
    char line[LINE_MOST];
    int n = vsnprintf(line, sizeof line, fmt, ap);
    if (n >= LINE_MOST) line[(n = LINE_MOST - 1) - 1] = '\n'; /* cut */
    if (!say_lost() || !put(line, (size_t)n)) n_lost++;
}

void say_line(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    if (may_lose)
        say_or_lose(fmt, ap);
    else
        vfprintf(stderr, fmt, ap);
    va_end(ap);
}
