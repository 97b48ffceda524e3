#include "runtime/base/options.h"

#include <stdint.h>
#include <string.h>

enum { SIZE_MOST = 4096 };

static TernStatus check_size(const TnShape *shape, size_t size, TernError *err) {
    if (size < sizeof size || size > SIZE_MOST)
        return tn_fail(err, TERN_ERR_INPUT, "%s.size is %zu, expected sizeof(%s), %zu here", shape->name,
                       size, shape->name, shape->bytes);
    for (size_t i = 0; i < shape->n; i++) {
        const TnField *f = &shape->fields[i];
        if (size > f->offset && size < f->offset + f->bytes)
            return tn_fail(err, TERN_ERR_INPUT,
                           "%s.size is %zu, which ends inside the field %s, expected %zu", shape->name, size,
                           f->name, shape->bytes);
    }
    return TERN_OK;
}

TernStatus tn_options_take(const TnShape *shape, const void *given, void *out, TernError *err) {
    size_t size = shape->bytes;
    if (given) memcpy(&size, given, sizeof size);
    TN_TRY(check_size(shape, size, err));
    const uint8_t *bytes = given;
    for (size_t i = shape->bytes; given && i < size; i++)
        if (bytes[i] != 0)
            return tn_fail(err, TERN_ERR_INPUT,
                           "%s.size is %zu and byte %zu is set, expected zeros after the %zu known here",
                           shape->name, size, i, shape->bytes);
    if (given) memcpy(out, given, size < shape->bytes ? size : shape->bytes);
    memcpy(out, &shape->bytes, sizeof shape->bytes);
    return TERN_OK;
}

TernStatus tn_options_give(const TnShape *shape, const void *full, void *given, TernError *err) {
    size_t size;
    memcpy(&size, given, sizeof size);
    TN_TRY(check_size(shape, size, err));
    memset(given, 0, size);
    memcpy(given, full, size < shape->bytes ? size : shape->bytes);
    memcpy(given, &size, sizeof size);
    return TERN_OK;
}

TernStatus tn_fail_null(const char *name, TernError *err) {
    return tn_fail(err, TERN_ERR_INPUT, "%s is NULL, expected an address", name);
}
