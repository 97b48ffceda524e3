/* Any bytes are the file of a slot, or are refused with one line. Hashes hide everything after the head from a fuzzer, so each
 * input is read as it is, and once more with hashes that are right. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/base/hash.h"
#include "runtime/generate/slot_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void read_it(const uint8_t *bytes, size_t n) {
    TernError err = {0};
    TnSlotFile f;
    if (tn_slot_file_read(bytes, n, &f, &err) != TERN_OK) {
        TN_CHECK(err.text[0] && !strchr(err.text, '\n'));
        return;
    }
    uint64_t sum = 0;
    for (uint32_t i = 0; i < f.n; i++) sum += (uint32_t)tn_slot_file_id(&f, i);
    for (size_t i = 0; i < f.page_bytes * f.n_pages; i++) sum += f.pages[i];
    TN_CHECK(sum <= (uint64_t)f.n * f.n_vocab + 255 * (uint64_t)n);
}

static void put_hash(uint8_t *at, const uint8_t *bytes, size_t n) {
    memcpy(at, tn_hash128(bytes, n).bytes, 16);
}

/* As far as the sizes in the head allow. */
static void make_right(uint8_t *f, size_t n) {
    uint32_t held;
    uint64_t page_bytes, bytes = n;
    if (n < 128) return;
    memcpy(&held, f + 24, 4);
    memcpy(&page_bytes, f + 32, 8);
    memcpy(f, "\x89TPC\r\n\x1a\n\1\0\0\0\x80\0\0", 16);
    memcpy(f + 16, &bytes, 8);
    size_t pages = ((size_t)held + 63) / 64, hashes = 128 + ((size_t)held * 4 + 63) / 64 * 64;
    size_t first = hashes + (pages * 16 + 63) / 64 * 64;
    if (first <= n) {
        for (size_t i = 0; i < pages && page_bytes <= (n - first) / pages; i++)
            put_hash(f + hashes + 16 * i, f + first + i * page_bytes, (size_t)page_bytes);
        put_hash(f + 64, f + 128, first - 128);
    }
    memset(f + 80, 0, 16);
    put_hash(f + 80, f, 128);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    uint8_t *copy = malloc(n + 1);
    read_it(data, n);
    memcpy(copy, data, n);
    make_right(copy, n);
    read_it(copy, n);
    free(copy);
    return 0;
}
