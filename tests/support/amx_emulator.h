/* For tests: AMX (tiles and int8 products) in software, on x86-64 machines without it.
 *
 * A handler for SIGILL decodes the tile instructions, does what the manual says they do, and goes on behind
 * them; every thread has tiles of its own. What a processor would refuse (a tile that is not configured,
 * shapes that do not fit) ends the process with a line. Any other SIGILL ends it as always.
 *
 * About 2 microseconds an instruction: for bits, not for times. */
#ifndef TN_TEST_AMX_EMULATOR_H
#define TN_TEST_AMX_EMULATOR_H

#include <stdbool.h>
#include <stdint.h>

/* False where code of level amx could not run anyway: not x86-64, or without AVX-512 and VNNI. */
bool amx_emulator_install(void);
/* Products done since then, by all threads. */
uint64_t amx_emulator_products(void);

#endif
