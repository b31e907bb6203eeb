// SPDX-License-Identifier: Apache-2.0
// The module is header-only except for words that must be the same objects in every Swift module that has inlined an access to them:
// whether the sanitizer is on, how many forks away from the first process this one is, and the threads' numbers.
#include "CDMA.h"

#include <pthread.h>

uint32_t cdma_sanitizer_word = 0;
uint32_t cdma_fork_word = 1;

static void count_fork(void) {
    // The child has one thread. 0 stays free for "belongs to no process".
    uint32_t next = cdma_fork_word + 1;
    __atomic_store_n(&cdma_fork_word, next ? next : 1, __ATOMIC_RELAXED);
}

// What the program was called with, for a machine without /proc, where Swift finds no arguments. glibc hands them to constructors, other C
// libraries do not: there they stay unknown.
static int argument_count = 0;
static char **argument_values = NULL;

#ifdef __GLIBC__
__attribute__((constructor)) static void keep_arguments(int count, char **values) {
    argument_count = count;
    argument_values = values;
}
#endif

const char *cdma_argument(int number) {
    return number >= 0 && number < argument_count && argument_values ? argument_values[number] : NULL;
}

// Fails only for want of memory, at start; then channels of a child are not told from those of its parent, as without this.
__attribute__((constructor)) static void watch_forks(void) { (void)pthread_atfork(NULL, NULL, count_fork); }

static uint32_t threads_seen = 0;
static _Thread_local uint32_t thread_number = 0;

uint32_t cdma_thread_number(void) {
    if (thread_number == 0) thread_number = 1 + __atomic_fetch_add(&threads_seen, 1, __ATOMIC_RELAXED);
    return thread_number;
}
