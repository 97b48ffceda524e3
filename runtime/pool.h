/* Worker threads that run one job at a time together, and the barrier inside a job.
 *
 * Waiting is the same everywhere: spin for a bounded time, then park on a condition variable. A worker's spin
 * time halves whenever it spun in vain and grows when spinning paid, so that an oversubscribed machine (more
 * workers than processors, or other load) soon parks at once instead of burning the time that the late worker
 * needs. */
#ifndef TN_POOL_H
#define TN_POOL_H

#include <stdbool.h>
#include "runtime/tern.h"

/* Called once on every worker; worker 0 is the thread that called tn_pool_run. */
typedef void TnPoolFn(void *user, uint32_t worker);

/* The pool for one user at a time: false if somebody has it. Every other call below needs it acquired. */
bool tn_pool_acquire(TernPool *pool);
void tn_pool_release(TernPool *pool);
/* Runs fn on all workers and returns when all have ended. Memory written before the call is seen by all
 * workers, memory written by them is seen after it. */
void tn_pool_run(TernPool *pool, TnPoolFn *fn, void *user);
/* Inside a job: returns when all workers have called it as often. Nothing to do with one worker. */
void tn_pool_barrier(TernPool *pool, uint32_t worker);

#endif
