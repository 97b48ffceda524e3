/* --tune: its flags, and the file that keeps the measurements. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "frontends/cli/cli.h"

enum { DEFAULT_SECONDS = 5 };

static void print_lines(void *user, const char *text, size_t n) {
    (void)user;
    progress_end();
    fwrite(text, 1, n, stderr);
}

void make_folders(char *path) {
    for (char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
        *p = 0;
        (void)mkdir(path, 0777);
        *p = '/';
    }
}

/* By the XDG rule a relative $XDG_CACHE_HOME is ignored. */
bool cache_path(const char *name, char *out, size_t size) {
    const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n = base && *base == '/'   ? snprintf(out, size, "%s/tern/%s", base, name)
            : home && *home == '/' ? snprintf(out, size, "%s/.cache/tern/%s", home, name)
                                   : 0;
    return n > 0 && (size_t)n < size;
}

const char *tuning_cache(TuneFlags *t) {
    return !t->seconds                                   ? NULL
           : t->cache                                    ? t->cache
           : cache_path("tune", t->path, sizeof t->path) ? t->path
                                                         : NULL;
}

void set_tuning(const Verb *verb, TuneFlags *t, int64_t threads, TerncOptions *o) {
    if (!t->seconds) {
        if (t->cache) usage_error(verb, "--tune-cache goes with --tune");
        return;
    }
    o->tune_seconds = DEFAULT_SECONDS;
    if (strcmp(t->seconds, "-") != 0) {
        if (!read_number(t->seconds, 0.1, 3600, &o->tune_seconds))
            usage_error(verb, "--tune: '%s', expected seconds from 0.1 to 3600", t->seconds);
    }
    o->tune_cache = tuning_cache(t);
    if (o->tune_cache == t->path) make_folders(t->path);
    o->tune_write = t->cache != NULL;
    o->tune_threads = (uint32_t)threads;
    o->tune_text = print_lines;
    report_quota(threads);
}
