/* The highest rates of the machine: bytes a second from memory, and int8 and f32 operations a second. They are
 * measured, not looked up, with plain loops of this program's own. */
#ifndef TN_CLI_MACHINE_H
#define TN_CLI_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Machine {
    const uint32_t *cpus; /* set by the caller: thread i runs on processor cpus[i % n_cpus] */
    uint32_t n_cpus;      /* 0: where the caller may run */
    uint32_t threads;
    size_t bytes, huge_bytes;  /* size of the buffer that was read, and how much of it lies in huge pages */
    double plain, prefetching; /* bytes a second of the two readers; 0: not measured */
    double int8, f32;          /* operations a second, two a multiply-add; 0: no level, or not measured */
} Machine;

/* The faster of the two readers. */
double machine_read(const Machine *m);
/* Reads `bytes` bytes of anonymous memory several times with `threads` threads. The memory is in huge pages
 * if `huge` is set and the system gives them, else in small ones. Takes about a second for 1 GiB. Returns
 * false if there is not enough memory or threads. May be called again with the same *m, which keeps the best
 * of all calls. */
bool machine_read_rate(Machine *m, uint32_t threads, size_t bytes, bool huge);
/* Measures dot products of int8, and fused multiply-adds of f32, of a feature level ("avx2", "avx-vnni", "avx512-vnni", "amx", "neon",
 * "neon-dotprod", "neon-i8mm") on registers alone. Returns false for other levels. *m keeps the best of all calls. */
bool machine_dot_rates(Machine *m, uint32_t threads, const char *level);

#endif
