// SPDX-License-Identifier: Apache-2.0
// Distinguishes a process from its parent after fork(2).
#ifndef CDMA_FORK_H
#define CDMA_FORK_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

// 1 in the process that loaded the package, and one more in each generation of children. Never 0. A C object, so that reading
// it is one load in every module (see cdma.c, which increments it in the child by pthread_atfork).
extern uint32_t cdma_fork_word;
static inline __attribute__((always_inline)) uint32_t cdma_fork_generation(void) {
    return __atomic_load_n(&cdma_fork_word, __ATOMIC_RELAXED);
}

// Memory that a device may write is not inherited: a child would share or copy pages under a running device. In a child process
// it reads as zeros, so that no channel appears ready. Linux 4.14; before that, -EINVAL.
static inline int cdma_wipe_on_fork(void *p, size_t length) { return madvise(p, length, MADV_WIPEONFORK) ? -errno : 0; }
static inline int cdma_do_not_inherit(void *p, size_t length) { return madvise(p, length, MADV_DONTFORK) ? -errno : 0; }

#endif
