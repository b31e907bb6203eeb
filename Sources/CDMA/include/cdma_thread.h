// SPDX-License-Identifier: Apache-2.0
// Placement of threads, and the atomics of the rings between them that cdma_atomic.h does not contain.
#ifndef CDMA_THREAD_H
#define CDMA_THREAD_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cdma_atomic.h"

static inline uint64_t cdma_fetch_or64(volatile void *p, uint64_t v) {
    return __atomic_fetch_or((volatile uint64_t *)p, v, __ATOMIC_SEQ_CST);
}

static inline uint32_t cdma_fetch_or32(volatile void *p, uint32_t v) {
    return __atomic_fetch_or((volatile uint32_t *)p, v, __ATOMIC_SEQ_CST);
}

// A number for the calling thread, from 1, in the order of first use; it wraps after 2^32 threads.
uint32_t cdma_thread_number(void);

// Lets the calling thread run on the CPUs whose bits are set in `words` words, lowest CPU first. 0, or an errno.
static inline int cdma_set_affinity(const uint64_t *mask, size_t words) {
    return syscall(SYS_sched_setaffinity, 0, words * sizeof *mask, mask) < 0 ? errno : 0;
}

// The CPUs that the calling thread may run on; words beyond the kernel's are zero. 0, or an errno.
static inline int cdma_get_affinity(uint64_t *mask, size_t words) {
    for (size_t i = 0; i < words; i++) mask[i] = 0;
    return syscall(SYS_sched_getaffinity, 0, words * sizeof *mask, mask) < 0 ? errno : 0;
}

// Pages that the calling thread touches first come from one NUMA node; below 0: the kernel's default (set_mempolicy(2)). 0, or
// an errno.
static inline int cdma_bind_memory(int node) {
    uint64_t mask[16] = {0};
    if (node >= 1024) return EINVAL;
    if (node >= 0) mask[node / 64] = UINT64_C(1) << (node % 64);
    // MPOL_DEFAULT 0, MPOL_BIND 2; the kernel expects one bit more than there are.
    return syscall(SYS_set_mempolicy, node < 0 ? 0 : 2, node < 0 ? (uint64_t *)0 : mask, node < 0 ? 0 : 1025) < 0 ? errno : 0;
}

#endif
