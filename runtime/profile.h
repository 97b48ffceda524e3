/* Where a session's time goes. While a profile is attached, every worker reads the clock before and after its
 * share of a launch (program.h: TnStamp). After each run, the calling thread alone adds the readings up. So
 * workers share nothing while launches run, and without a profile no clock is read.
 *
 * The time of a launch is its part of the run: from the first worker's begin, or from the last end of the launches
 * before it if that is later, to the last worker's end. From that end to the next begin is its wait: the barrier.
 * The time before the first launch, in which the pool wakes up, is idle time. So times, waits and idle time add up
 * to the run. What a step does around its runs, filling in inputs and giving out results, is the rest. Runs and
 * rests add up to the step. */
#ifndef TN_PROFILE_H
#define TN_PROFILE_H

#include "runtime/session.h"

/* Call these before and after the engine runs s->programs[program] over `rows` rows; s->profile is not NULL. If the run
 * fails, do not call tn_profile_end: nothing of the run is counted. */
void tn_profile_begin(TernProfile *p);
void tn_profile_end(TernProfile *p, uint32_t program, uint32_t rows);
/* Call this after the results of a run were given out, all or those before one that is not finite. `from` is the clock
 * before the inputs were filled in. */
void tn_profile_chunk(TernProfile *p, uint32_t program, uint64_t from);

#endif
