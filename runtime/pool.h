/* Worker threads that run one job at a time together, and the barrier inside a job.
 *
 * Every wait does the same: spin for a bounded time, then park on a condition variable. A worker's spin time
 * halves whenever it spun in vain and grows when spinning paid off. So on an oversubscribed machine (more workers
 * than processors, or other load) workers soon park at once, and do not burn the time that the late worker
 * needs. */
#ifndef TN_POOL_H
#define TN_POOL_H

#include <stdbool.h>
#include "runtime/tern.h"

/* Called once on every worker; worker 0 is the thread that called tn_pool_run. */
typedef void TnPoolFn(void *user, uint32_t worker);

/* Takes the pool for one user; false if another user has it. The calls below need a pool that is acquired. */
bool tn_pool_acquire(TernPool *pool);
void tn_pool_release(TernPool *pool);
/* Runs fn on all workers and returns when all have returned. Workers see memory written before the call; the caller sees,
 * after it, what workers wrote. */
void tn_pool_run(TernPool *pool, TnPoolFn *fn, void *user);
/* Inside a job: returns when all workers have called it the same number of times. Does nothing if there is one worker. */
void tn_pool_barrier(TernPool *pool, uint32_t worker);

#endif
