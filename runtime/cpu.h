/* What this processor can run. Levels are those of abi/kernel.h; the check is our own (CPUID and XGETBV, or
 * the kernel's AT_HWCAP), because compilers' helpers differ and do not ask whether the system saves the
 * registers. */
#ifndef TN_CPU_H
#define TN_CPU_H

#include <stdbool.h>
#include <stdint.h>

/* "ref", "avx2", ...; NULL for a number no level has. */
const char *tn_level_name(uint32_t level);
/* The level of that name, or UINT32_MAX. */
uint32_t tn_level_parse(const char *name);
/* This machine, with its system, can run code of that level; false for ref, which has no code. */
bool tn_level_runs_here(uint32_t level);
/* Code of that level is for another architecture than this program's. */
bool tn_level_foreign(uint32_t level);
/* For tests that bring an emulator (tests/support/amx_emulator.h): from now on this machine's best level is
 * said to be that; TN_LEVEL_REF: the truth again. */
void tn_level_pretend(uint32_t level);
/* Code of `level` is allowed under a cap: same architecture and not above it. */
bool tn_level_under(uint32_t level, uint32_t cap);

#endif
