/* For tests: AMX (tiles and int8 products) in software, on x86-64 machines without it.
 *
 * A handler for SIGILL decodes a tile instruction, does what the manual says, and continues after it. Every thread has
 * tiles of its own. If a processor would refuse an instruction (a tile that is not configured, shapes that do not fit),
 * the process ends with a line. Any other SIGILL ends it as usual.
 *
 * An instruction takes about 2 microseconds, so use this to compare bits, not times. */
#ifndef TN_TEST_AMX_EMULATOR_H
#define TN_TEST_AMX_EMULATOR_H

#include <stdbool.h>
#include <stdint.h>

/* False if code of level amx could not run anyway: not x86-64, or without AVX-512 and VNNI. */
bool amx_emulator_install(void);
/* How many products all threads have done since then. */
uint64_t amx_emulator_products(void);

#endif
