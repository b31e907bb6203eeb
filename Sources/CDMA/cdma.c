// SPDX-License-Identifier: Apache-2.0
// The module is header-only except for words that must be the same objects in every Swift module that has inlined an access to
// them: the sanitizer's flag, the fork generation, the threads' numbers, and the arguments.
#include "CDMA.h"

#include <pthread.h>

uint32_t cdma_sanitizer_word = 0;
uint32_t cdma_fork_word = 1;

static void count_fork(void) {
    // The child has one thread. 0 is reserved for "belongs to no process".
    uint32_t next = cdma_fork_word + 1;
    __atomic_store_n(&cdma_fork_word, next ? next : 1, __ATOMIC_RELAXED);
}

// Fails only for lack of memory, at start; channels of a child are then not distinguished from those of its parent.
__attribute__((constructor)) static void watch_forks(void) { (void)pthread_atfork(NULL, NULL, count_fork); }

static uint32_t threads_seen = 0;
static _Thread_local uint32_t thread_number = 0;

uint32_t cdma_thread_number(void) {
    if (thread_number == 0) thread_number = 1 + __atomic_fetch_add(&threads_seen, 1, __ATOMIC_RELAXED);
    return thread_number;
}

static int argument_count = 0;
static char **argument_values = NULL;

// glibc calls constructors with the arguments of main.
__attribute__((constructor)) static void keep_arguments(int count, char **values) {
    argument_count = count;
    argument_values = values;
}

int cdma_argument_count(void) { return argument_count; }
const char *cdma_argument(int number) {
    return number >= 0 && number < argument_count ? argument_values[number] : NULL;
}
