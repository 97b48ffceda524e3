/* tern bench --profile --simulate: what a machine of more cores would make of a program, from the times that its launches took
 * here. simulate.c has the model and what it leaves out. */
#ifndef TN_CLI_SIMULATE_H
#define TN_CLI_SIMULATE_H

#include "frontends/cli/profile_collect.h"

/* The machine that is imagined: sockets of so many cores, each with memory of its own that gives so many bytes a second. */
typedef struct Sockets {
    uint32_t cores;
    double rate;
} Sockets;

/* Where the weights lie: all in the memory of one socket, or a copy in that of each. */
typedef enum Placed { PLACED_ONE, PLACED_EACH, PLACED_COUNT } Placed;

/* What `workers` would take for a call of a launch, all in nanoseconds. */
typedef struct SimLaunch {
    double ns;     /* from the launch's begin to its end, the barrier after it left out */
    double memory; /* of that, what its bytes take at the rate of the memory at least */
    double lost;   /* of ns, what is due to units that do not divide among the workers */
} SimLaunch;
SimLaunch sim_launch(const Test *t, const Cost *c, const Sockets *s, Placed placed, uint32_t workers);
/* A barrier after a launch: what one took here, growing with the logarithm of the workers. */
double sim_barrier(const Test *t, const Seen *s, uint32_t workers);
/* A whole step of the program: its launches, their barriers, and what is around them, which no worker makes shorter. */
double sim_step(const Test *t, const Seen *s, const Sockets *sockets, Placed placed, uint32_t workers);
/* The share of the workers' time that units which do not divide among them leave: 1 if they do. */
double sim_even(double units, uint32_t workers);
/* The coarsest grain below `grain`, a multiple of `least` whose units would keep `workers` busy for nine tenths,
 * else the best there is; `grain` itself if that does, if there is no better one, or if it is not cut by columns
 * (then both are 0). */
int64_t sim_grain(double units, int64_t grain, int64_t least, uint32_t workers);

/* Prints a table of steps for the numbers of workers, and the launches that starve with the most of them. */
void sim_print(const Test *t, const Seen *s, const Sockets *sockets, const uint32_t *workers, uint32_t n);

#endif
