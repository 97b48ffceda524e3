/* Handles running out of memory in the compiler library. LLVM and the C++ library throw or abort, and no
 * caller catches that: a limit on memory would end in a core dump, or in several lines from LLVM. Here it
 * becomes one line and the exit status of a bad environment. Threads may be running, so only half-written
 * files are removed. */
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/cli/cli.h"

static const char no_room[] = "tern: out of memory in the compiler";

static void no_memory(void) {
    end_at_once(no_room);
}
static void no_memory_llvm(void *user, const char *reason, bool with_trace) {
    (void)user, (void)reason, (void)with_trace;
    end_at_once(no_room);
}
static void fatal_llvm(const char *reason) {
    TernError line = {0};
    tn_fail(&line, TERN_ERR_ENV, "tern: error: the compiler gave up: '%s'", reason ? reason : "");
    end_at_once(line.text);
}
static void uncaught(void) {
    end_at_once("tern: error: the compiler ended by an exception: out of memory, or a fault in it");
}
/* A bug that Tern itself detects prints its message and removes this handler before it aborts
 * (runtime/base/status.c). */
static void on_abort(int sig) {
    (void)sig;
    end_at_once("tern: error: the compiler aborted: out of memory, or a fault in it");
}

void compiler_aborts(bool compiling) {
    static struct sigaction before;
    static bool on;
    if (compiling == on) return;
    struct sigaction act = {.sa_handler = on_abort};
    sigaction(SIGABRT, compiling ? &act : &before, compiling ? &before : NULL);
    on = compiling;
}

static bool has_room(size_t bytes) {
    void *room;
    TernError err;
    if (tn_os_map(bytes, false, &room, &err) != TERN_OK) return false;
    tn_os_unmap(room, bytes);
    return true;
}

bool compiler_has_room(void) {
    const TnTargetRow *target;
    size_t bytes = 0;
    for (size_t i = 0; (target = tn_target_row(i)); i++) bytes += target->megabytes << 20;
    return bytes == 0 || has_room(bytes);
}

/* The size of the libraries that LLVM depends on is not known: they took 50 MB on Debian 12
 * (docs/decisions.md). */
const char *compiler_refused(const char *why) {
    enum { ROOM = 256 << 20 };
    static TernError line;
    if (has_room(ROOM)) return why;
    tn_fail(&line, TERN_ERR_MEMORY, "out of memory: %s", why);
    return line.text;
}

void compiler_handlers(void *lib) {
    void (*(*new_handler)(void (*)(void)))(void);
    void (*(*terminate_handler)(void (*)(void)))(void);
    void (*llvm_handler)(void (*)(void *, const char *, bool), void *);
    void (*llvm_fatal)(void (*)(const char *));
    void *p = dlsym(lib, "_ZSt15set_new_handlerPFvvE"),
         *q = dlsym(lib, "_ZN4llvm31install_bad_alloc_error_handlerEPFvPvPKcbES0_"),
         *r = dlsym(lib, "_ZSt13set_terminatePFvvE"), *s = dlsym(lib, "LLVMInstallFatalErrorHandler");
    memcpy(&new_handler, &p, sizeof p);
    memcpy(&llvm_handler, &q, sizeof q);
    memcpy(&terminate_handler, &r, sizeof r);
    memcpy(&llvm_fatal, &s, sizeof s);
    set_work(true);
    if (p) new_handler(no_memory);
    if (q) llvm_handler(no_memory_llvm, NULL);
    if (r) terminate_handler(uncaught);
    if (s) llvm_fatal(fatal_llvm);
}
