#include "runtime/cuda/cuda_driver.h"

#include <dlfcn.h>
#include <string.h>
#include "runtime/base/escape.h"
#include "runtime/base/os.h"

static const char *const symbols[TN_CUDA_CALL_COUNT] = {
#define SYMBOL(name, symbol, ...) [TN_CUDA_##name] = (symbol),
    TN_CUDA_CALLS(SYMBOL)
#undef SYMBOL
};

/* POSIX lets a pointer to data be one to a function; C does not. */
#define TAKE(name, symbol, ...) memcpy(&cu->name, &found[TN_CUDA_##name], sizeof cu->name);
_Static_assert(sizeof(void *) == sizeof(int (*)(void)), "dlsym gives functions too");

static TernStatus find_calls(TnCuda *cu, TernError *err) {
    void *found[TN_CUDA_CALL_COUNT];
    for (int i = 0; i < TN_CUDA_CALL_COUNT; i++) {
        found[i] = dlsym(cu->library, symbols[i]);
        if (!found[i])
            return tn_fail(err, TERN_ERR_ENV, "%s: has no %s, expected a driver of CUDA %d.%d or newer",
                           TN_CUDA_LIBRARY, symbols[i], TN_CUDA_MINIMUM / 1000, TN_CUDA_MINIMUM % 1000 / 10);
    }
    TN_CUDA_CALLS(TAKE)
    return TERN_OK;
}

/* An old driver has fewer names, and its version says more than the first that is missing. */
static TernStatus check_version(TnCuda *cu, TernError *err) {
    void *found = dlsym(cu->library, symbols[TN_CUDA_DriverGetVersion]);
    int (*version)(int *) = NULL;
    memcpy(&version, &found, sizeof version);
    int result = version ? version(&cu->version) : 0;
    if (result != 0)
        return tn_fail(err, TERN_ERR_ENV, "%s: %s: error %d", TN_CUDA_LIBRARY,
                       symbols[TN_CUDA_DriverGetVersion], result);
    if (!version || cu->version >= TN_CUDA_MINIMUM) return TERN_OK;
    return tn_fail(err, TERN_ERR_ENV, "%s: a driver of CUDA %d.%d, expected %d.%d or newer", TN_CUDA_LIBRARY,
                   cu->version / 1000, cu->version % 1000 / 10, TN_CUDA_MINIMUM / 1000,
                   TN_CUDA_MINIMUM % 1000 / 10);
}

static TernStatus start(TnCuda *cu, TernError *err) {
    TN_TRY(check_version(cu, err));
    TN_TRY(find_calls(cu, err));
    return TN_CUDA(cu, TN_CUDA_LIBRARY, err, Init, (0));
}

TernStatus tn_cuda_open(TnCuda *out, TernError *err) {
    if (!tn_os_opens_libraries())
        return tn_fail(
            err, TERN_ERR_ENV,
            "no driver of CUDA: this program is linked statically and cannot open " TN_CUDA_LIBRARY);
    TnCuda cu = {.library = dlopen(TN_CUDA_LIBRARY, RTLD_NOW | RTLD_LOCAL)};
    if (!cu.library) return tn_fail(err, TERN_ERR_ENV, "no driver of CUDA: %s", tn_shown(dlerror()).s);
    TernStatus status = start(&cu, err);
    if (status == TERN_OK)
        *out = cu;
    else
        tn_cuda_close(&cu);
    return status;
}

void tn_cuda_close(TnCuda *cu) {
    if (cu->library) dlclose(cu->library);
    *cu = (TnCuda){0};
}

TernStatus tn_cuda_failed(const TnCuda *cu, const char *where, TnCudaCall call, int result, TernError *err) {
    const char *name = NULL, *text = NULL;
    TernStatus status = result == TN_CUDA_OUT_OF_MEMORY ? TERN_ERR_MEMORY : TERN_ERR_ENV;
    bool known = cu->GetErrorName(result, &name) == 0 && cu->GetErrorString(result, &text) == 0;
    if (!known || !name || !text)
        return tn_fail(err, status, "%s: %s: error %d", where, symbols[call], result);
    return tn_fail(err, status, "%s: %s: %s (%s)", where, symbols[call], text, name);
}
