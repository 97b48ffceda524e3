/* Which levels of abi/levels.def this machine can run, and which of them a cap allows. */
#ifndef TN_CPU_H
#define TN_CPU_H

#include <stdbool.h>
#include <stdint.h>
#include "runtime/abi/levels.h"

/* True if this machine and its system can run code of that level; false for ref, which has no code. */
bool tn_level_runs_here(uint32_t level);
/* True if a cap allows `level`: it is of the cap's architecture and not preferred to the cap. */
bool tn_level_under(uint32_t level, uint32_t cap);
/* True if `level` is preferred to `to`. Every level is preferred to ref. */
bool tn_level_preferred(uint32_t level, uint32_t to);

/* ---- features.c: the features TN_CPU_* that this machine has and the system lets us use. *refused gets those that the
 * machine has but the system refuses. We check them ourselves (CPUID and XGETBV, or the kernel's AT_HWCAP), because the
 * helpers of compilers differ and do not ask whether the system saves the registers. A test with an emulator links a
 * function of its own in place of this one. */
uint32_t tn_cpu_features(uint32_t *refused);

#endif
