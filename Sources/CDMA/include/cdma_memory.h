// SPDX-License-Identifier: Apache-2.0
// Memory that a device may reach: the system calls behind the buffers, with the flags Swift's overlay does not carry.
#ifndef CDMA_MEMORY_H
#define CDMA_MEMORY_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static inline int64_t cdma_monotonic_nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

#endif
