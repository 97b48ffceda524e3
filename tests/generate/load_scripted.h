/* Loads a scripted model (support/scripted.h) for the tests of this folder, compiled for this machine or evaluated. */
#ifndef TN_TEST_LOAD_SCRIPTED_H
#define TN_TEST_LOAD_SCRIPTED_H

#include <stdlib.h>
#include <unistd.h>
#include "cli/native.h"
#include "frontends/api/ternc.h"
#include "support/scripted.h"

static inline TernModel *load_scripted(TnScripted *s) {
    char path[] = "/tmp/tern-scripted-XXXXXX";
    TernError err;
    TnBuf bytes = {0};
    TernModel *made;
    tn_scripted_bytes(s, &bytes);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes.data, bytes.len), (ssize_t)bytes.len);
    close(fd);
    TerncSource source = {.size = sizeof source, .path = path};
    TerncOptions o = {.size = sizeof o, .target = *native_levels() ? NULL : "ref", .kvs = 1u << TERN_KV_F16};
    TernStatus st = ternc_load(&source, &o, NULL, &made, &err);
    unlink(path);
    if (st != TERN_OK) fail_msg("%s", err.text);
    tn_buf_free(&bytes);
    return made;
}

#endif
