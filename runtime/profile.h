/* Where a session's time goes. While a profile is attached, every worker reads the clock before and after its
 * share of a launch (program.h: TnStamp); after each run the calling thread, alone then, adds the readings up.
 * Nothing is shared while launches run, and without a profile nothing is read at all.
 *
 * A launch's time is its part of the run's line: from the first worker's begin, or the last end of the launches
 * before it if that is later, to the last worker's end. What is left between that end and the next begin is its
 * wait: the barrier, or the pool's waking up before the first launch. So times and waits add up to the run. What
 * a step does around its runs is the rest: it fills inputs in and hands results out. Runs and rests are the step. */
#ifndef TN_PROFILE_H
#define TN_PROFILE_H

#include "runtime/session.h"

/* Around the engine's run of s->programs[program] over so many rows; s->profile is not NULL. A run that failed has no
 * end: nothing of it is counted. */
void tn_profile_begin(TernProfile *p);
void tn_profile_end(TernProfile *p, uint32_t program, uint32_t rows);
/* After its results are handed out, or as many as there were before one that is not finite; `from`: the clock before its
 * inputs were filled in. */
void tn_profile_chunk(TernProfile *p, uint32_t program, uint64_t from);

#endif
