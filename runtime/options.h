/* Option structs of tern.h: they begin with their size, so that old callers and new libraries fit together.
 */
#ifndef TN_OPTIONS_H
#define TN_OPTIONS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "runtime/base/status.h"

/* Copies a caller's struct of any version into ours, zeroed, `bytes` long; NULL: the defaults. A newer
 * caller's further fields must be zero, since we would not honour them. */
static inline TernStatus tn_options_copy(void *out, size_t bytes, const void *options, const char *what,
                                         TernError *err) {
    if (!options) return TERN_OK;
    size_t size;
    memcpy(&size, options, sizeof size);
    if (size < sizeof size)
        return tn_fail(err, TERN_ERR_INPUT, "%s: size is %zu, wanted sizeof(%s) (%zu)", what, size, what,
                       bytes);
    for (size_t i = bytes; i < size; i++)
        if (((const uint8_t *)options)[i] != 0)
            return tn_fail(err, TERN_ERR_UNSUPPORTED, "%s: byte %zu is set, this library knows %zu bytes",
                           what, i, bytes);
    memcpy(out, options, size < bytes ? size : bytes);
    return TERN_OK;
}

#endif
