/* What the machine gives at most: bytes a second from memory, and int8 operations a second. Measured, not looked up,
 * with plain loops of this program's own. */
#ifndef TN_CLI_MACHINE_H
#define TN_CLI_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Machine {
    uint32_t threads;
    size_t bytes, huge_bytes;  /* of the buffer that was read, and how much of it lies in huge pages */
    double plain, prefetching; /* bytes a second of the two readers; 0: not measured */
    double int8;               /* operations a second, two a multiply-add; 0: no level, or not measured */
} Machine;

/* The better of the two readers. */
double machine_read(const Machine *m);
/* Reads `bytes` anonymous bytes again and again with so many threads, in huge pages if `huge` and the system gives
 * them, else in small ones; takes about a second for 1 GiB. False if there is no memory or no threads for it. May be
 * called again with the same *m: the best of all calls stays. */
bool machine_read_rate(Machine *m, uint32_t threads, size_t bytes, bool huge);
/* Dot products of a feature level ("avx2", "avx512-vnni", "amx", "neon-dotprod") on registers alone. False for other
 * levels. The best of all calls stays. */
bool machine_int8_rate(Machine *m, uint32_t threads, const char *level);

#endif
