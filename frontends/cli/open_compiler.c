/* Opens the compiler library. Only this file does, with dlopen, so running a blob never loads LLVM. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/cli/cli.h"
#include "runtime/base/status.h"

static TerncCalls calls;

/* The compiler library lies beside libtern, both in the build folder and when installed. Its bare name is
 * only a second try, for those who put it elsewhere. The bare name alone would not do: under the sanitizers,
 * dlopen does not use our own search path. */
static const char name[] = "libternc.so.0";

char *compiler_beside(const char *libtern) {
    const char *slash = libtern ? strrchr(libtern, '/') : NULL;
    if (!slash) return NULL;
    size_t n = (size_t)(slash - libtern) + 1;
    char *path = tn_xcalloc(n + sizeof name, 1);
    memcpy(path, libtern, n);
    memcpy(path + n, name, sizeof name);
    return path;
}

static void *open_beside_libtern(void) {
    const char *(*known)(void) = tern_version;
    void *in_libtern, *lib = NULL;
    memcpy(&in_libtern, &known, sizeof in_libtern);
    Dl_info at;
    char *path = compiler_beside(dladdr(in_libtern, &at) ? at.dli_fname : NULL);
    if (path) lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    free(path);
    return lib ? lib : dlopen(name, RTLD_NOW | RTLD_LOCAL);
}

static bool open_ternc(const char **why) {
    static void *lib;
    if (lib) return true;
#ifdef TERN_ALONE
    *why = "this program runs models that are compiled already";
    return false;
#endif
    if (!compiler_has_room()) {
        *why = "out of memory";
        return false;
    }
    compiler_aborts(true);
    void *l = open_beside_libtern();
    if (!l) {
        *why = compiler_refused(dlerror());
        return false;
    }
    static const struct {
        const char *name;
        size_t offset;
    } needed[] = {
        {"ternc_version", offsetof(TerncCalls, version)},
        {"ternc_compile", offsetof(TerncCalls, compile)},
        {"ternc_load", offsetof(TerncCalls, load)},
        {"ternc_open_ref", offsetof(TerncCalls, open_ref)},
        {"ternc_vocab", offsetof(TerncCalls, vocab)},
        {"ternc_opt", offsetof(TerncCalls, opt)},
        {"ternc_inspect", offsetof(TerncCalls, inspect)},
        {"ternc_diff", offsetof(TerncCalls, diff)},
        {"ternc_emit", offsetof(TerncCalls, emit)},
        {"ternc_picture", offsetof(TerncCalls, picture)},
        {"ternc_cost", offsetof(TerncCalls, cost)},
        {"ternc_import", offsetof(TerncCalls, import)},
        {"ternc_convert", offsetof(TerncCalls, convert)},
        {"ternc_verify", offsetof(TerncCalls, verify)},
        {"ternc_eval", offsetof(TerncCalls, eval)},
        {"ternc_check_device", offsetof(TerncCalls, check_device)},
    };
    for (size_t i = 0; i < TN_COUNT(needed); i++) {
        void *p = dlsym(l, needed[i].name);
        if (!p) {
            *why = dlerror();
            return false;
        }
        memcpy((char *)&calls + needed[i].offset, &p, sizeof p);
    }
    lib = l;
    compiler_handlers(l);
    return true;
}

bool ternc_present(void) {
    const char *why;
    return open_ternc(&why);
}

TernStatus find_ternc(const TerncCalls **out, TernError *err) {
    const char *why = "";
    *out = &calls;
    if (!open_ternc(&why))
        return tn_fail(err, TERN_ERR_ENV, "the compiler library could not be opened: %s", why);
    compiler_aborts(true); /* also if it was open before */
    return TERN_OK;
}

const TerncCalls *ternc(void) {
    const TerncCalls *found;
    TernError err = {0};
    if (find_ternc(&found, &err) != TERN_OK) exit(fail(&err));
    return found;
}
