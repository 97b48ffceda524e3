/* What this processor can run, and what a cap allows: the levels of abi/levels.def against the features of the
 * machine. */
#ifndef TN_CPU_H
#define TN_CPU_H

#include <stdbool.h>
#include <stdint.h>
#include "runtime/abi/levels.h"

/* This machine, with its system, can run code of that level; false for ref, which has no code. */
bool tn_level_runs_here(uint32_t level);
/* Code of that level is for another architecture than this program's. */
bool tn_level_foreign(uint32_t level);
/* Code of `level` is allowed under a cap: same architecture and not preferred to it. */
bool tn_level_under(uint32_t level, uint32_t cap);
/* `level` is preferred to `to`; nothing is less preferred than ref. */
bool tn_level_preferred(uint32_t level, uint32_t to);

/* ---- features.c: the TN_CPU_* that this machine has and its system lets us use, and in *refused those that it has
 * and the system does not. The check is our own (CPUID and XGETBV, or the kernel's AT_HWCAP), because compilers'
 * helpers differ and do not ask whether the system saves the registers. A test with an emulator brings a function of
 * its own in this one's place. */
uint32_t tn_cpu_features(uint32_t *refused);

#endif
