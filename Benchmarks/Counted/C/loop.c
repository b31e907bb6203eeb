// SPDX-License-Identifier: Apache-2.0
#include "loop.h"

#include <stdint.h>
#include <stdlib.h>

// The concurrency runtime's own hook and entry (stdlib/public/Concurrency, GlobalExecutor.cpp and Actor.cpp).
struct executor_ref {
    void *identity;
    uintptr_t implementation;
};
typedef __attribute__((swiftcall)) void (*enqueue_function)(void *job);
extern __attribute__((swiftcall)) void (*swift_task_enqueueGlobal_hook)(void *job, enqueue_function original);
extern __attribute__((swiftcall)) void swift_job_run(void *job, struct executor_ref executor);

enum { LOOP_CAPACITY = 64 };
static void *jobs[LOOP_CAPACITY];
static unsigned head, tail;

static __attribute__((swiftcall)) void enqueue(void *job, enqueue_function original) {
    (void)original;
    if (tail - head == LOOP_CAPACITY) abort();
    jobs[tail++ % LOOP_CAPACITY] = job;
}

void counted_loop_install(void) { swift_task_enqueueGlobal_hook = enqueue; }

bool counted_loop_run_one(void) {
    if (head == tail) return false;
    struct executor_ref generic = {0, 0};
    swift_job_run(jobs[head++ % LOOP_CAPACITY], generic);
    return true;
}
