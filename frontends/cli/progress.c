/* A progress bar on standard error, if that is a terminal: one line, rewritten at most 20 times a second. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "frontends/cli/cli.h"

static double last;
static volatile sig_atomic_t drawn;

int progress_bar(void *user, const char *phase, uint64_t done, uint64_t total) {
    (void)user;
    double now = tn_os_seconds();
    if (!isatty(STDERR_FILENO) || (now - last < 0.05 && done < total) || !line_has_room()) return 0;
    last = now;
    drawn = 1;
    enum { WIDTH = 32 };
    int fill = total ? (int)(done * WIDTH / total) : WIDTH;
    char bar[WIDTH + 1];
    memset(bar, '.', WIDTH);
    memset(bar, '#', (size_t)(fill > WIDTH ? WIDTH : fill));
    bar[WIDTH] = 0;
    fprintf(stderr, "\r%-8s [%s] %3d%%", phase, bar, total ? (int)(done * 100 / total) : 100);
    return 0;
}

void progress_end(void) {
    if (drawn && line_has_room()) fprintf(stderr, "\r\033[K");
    drawn = 0;
}

void progress_wipe(void) {
    ssize_t n = drawn ? write(STDERR_FILENO, "\r\033[K", 4) : 0;
    (void)n;
}
