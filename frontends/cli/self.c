/* A program with a model in it (runtime/base/single.h): `./model chat` is `tern chat ./model`, and `./model -p TEXT` is
 * `tern run ./model -p TEXT`. The model is opened by the file's name like any other. */
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>
#include "frontends/cli/cli.h"
#include "runtime/abi/version.h"
#include "runtime/base/single.h"

/* Volatile: the value is that of the file, not the one below. */
static const volatile TnSingleSlot slot = {
    .magic = TN_SINGLE_SLOT_HEAD TN_SINGLE_SLOT_TAIL, .version = TERN_VERSION, .abi = TN_BLOB_ABI};

bool has_own_model(void) {
    return slot.offset != 0;
}

/* The name under which the system found the program. It works without /proc; with it, a file that has been moved or deleted
 * meanwhile is found too. */
static const char *own_path(const char *arg0) {
    const char *name = (const char *)getauxval(AT_EXECFN);
    if (name && access(name, R_OK) == 0) return name;
    if (access("/proc/self/exe", R_OK) == 0) return "/proc/self/exe";
    return name ? name : arg0;
}

/* Verbs that take a model as their first word. */
static bool takes_model(const Verb *v) {
    return strncmp(v->usage, "[MODEL]", 7) == 0 || strncmp(v->usage, "MODEL ", 6) == 0 ||
           v->run == verb_inspect || v->run == verb_check;
}

const Verb *add_own_model(const Verb *named, int argc, char **argv, char **words, int *n_words) {
    const Verb *v = named;
    int at = 0, first = named ? 2 : 1;
    for (const Verb *i = verbs; !v && i->name; i++)
        if (i->run == verb_run) v = i;
    const char *path = own_path(argv[0]);
    TnFile file = {0};
    TernError err = {0};
    TN_CHECK(v);
    TernStatus st = takes_model(v) ? tn_file_map(path, &file, &err) : TERN_OK;
    if (takes_model(v) && st == TERN_OK) {
        if (!tn_single_is(file.data, file.size))
            st = tn_fail(&err, TERN_ERR_INPUT, "%s: the model after the program is missing or cut", path);
        tn_file_unmap(&file);
        words[at++] = (char *)path;
    }
    if (st != TERN_OK) {
        fail(&err);
        return NULL;
    }
    while (first < argc) words[at++] = argv[first++];
    words[at] = NULL;
    *n_words = at;
    return v;
}

const char *static_program(const char *machine, char *out, size_t size) {
    static const char *const places[] = {"", "../lib/tern/"};
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    for (size_t i = 0; n > 0 && i < TN_COUNT(places); i++) {
        self[n] = 0;
        char *slash = strrchr(self, '/');
        int used = snprintf(out, size, "%.*s/%stern-static.%s", slash ? (int)(slash - self) : 1,
                            slash ? self : ".", places[i], machine);
        if (used > 0 && (size_t)used < size && access(out, R_OK) == 0) return out;
    }
    return NULL;
}
