// SPDX-License-Identifier: Apache-2.0
// Shared-memory atomics, volatile (device) access and fences. Static inline, so that each compiles to one instruction; Swift's
// own Atomic cannot live in memory that a device or another process shares.
#ifndef CDMA_ATOMIC_H
#define CDMA_ATOMIC_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <linux/futex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CDMA_INLINE static inline __attribute__((always_inline))

// Volatile access: exactly one load or store of exactly this width, never merged, split or omitted.
CDMA_INLINE uint8_t cdma_volatile_load8(const volatile void *p) { return *(const volatile uint8_t *)p; }
CDMA_INLINE uint16_t cdma_volatile_load16(const volatile void *p) { return *(const volatile uint16_t *)p; }
CDMA_INLINE uint32_t cdma_volatile_load32(const volatile void *p) { return *(const volatile uint32_t *)p; }
CDMA_INLINE uint64_t cdma_volatile_load64(const volatile void *p) { return *(const volatile uint64_t *)p; }
CDMA_INLINE void cdma_volatile_store8(volatile void *p, uint8_t v) { *(volatile uint8_t *)p = v; }
CDMA_INLINE void cdma_volatile_store16(volatile void *p, uint16_t v) { *(volatile uint16_t *)p = v; }
CDMA_INLINE void cdma_volatile_store32(volatile void *p, uint32_t v) { *(volatile uint32_t *)p = v; }
CDMA_INLINE void cdma_volatile_store64(volatile void *p, uint64_t v) { *(volatile uint64_t *)p = v; }

// Acquire and release on words that another agent (a thread, a process, a coherent device) also uses.
CDMA_INLINE uint32_t cdma_load_acquire32(const volatile void *p) {
    return __atomic_load_n((const volatile uint32_t *)p, __ATOMIC_ACQUIRE);
}
CDMA_INLINE uint64_t cdma_load_acquire64(const volatile void *p) {
    return __atomic_load_n((const volatile uint64_t *)p, __ATOMIC_ACQUIRE);
}
CDMA_INLINE void cdma_store_release32(volatile void *p, uint32_t v) {
    __atomic_store_n((volatile uint32_t *)p, v, __ATOMIC_RELEASE);
}
CDMA_INLINE void cdma_store_release64(volatile void *p, uint64_t v) {
    __atomic_store_n((volatile uint64_t *)p, v, __ATOMIC_RELEASE);
}
// Sequentially consistent: for a flag that is read after another word was written (Dekker's pattern).
CDMA_INLINE uint32_t cdma_load_ordered32(const volatile void *p) {
    return __atomic_load_n((const volatile uint32_t *)p, __ATOMIC_SEQ_CST);
}
CDMA_INLINE uint64_t cdma_load_ordered64(const volatile void *p) {
    return __atomic_load_n((const volatile uint64_t *)p, __ATOMIC_SEQ_CST);
}
CDMA_INLINE uint64_t cdma_load_relaxed64(const volatile void *p) {
    return __atomic_load_n((const volatile uint64_t *)p, __ATOMIC_RELAXED);
}
CDMA_INLINE void cdma_store_relaxed64(volatile void *p, uint64_t v) {
    __atomic_store_n((volatile uint64_t *)p, v, __ATOMIC_RELAXED);
}
CDMA_INLINE uint64_t cdma_fetch_add64(volatile void *p, uint64_t v) {
    return __atomic_fetch_add((volatile uint64_t *)p, v, __ATOMIC_SEQ_CST);
}
CDMA_INLINE uint32_t cdma_fetch_add32(volatile void *p, uint32_t v) {
    return __atomic_fetch_add((volatile uint32_t *)p, v, __ATOMIC_SEQ_CST);
}
CDMA_INLINE uint32_t cdma_exchange32(volatile void *p, uint32_t v) {
    return __atomic_exchange_n((volatile uint32_t *)p, v, __ATOMIC_ACQ_REL);
}
CDMA_INLINE bool cdma_compare_exchange32(volatile void *p, uint32_t expected, uint32_t desired) {
    return __atomic_compare_exchange_n((volatile uint32_t *)p, &expected, desired, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}
CDMA_INLINE uint64_t cdma_exchange64(volatile void *p, uint64_t v) {
    return __atomic_exchange_n((volatile uint64_t *)p, v, __ATOMIC_ACQ_REL);
}
CDMA_INLINE bool cdma_compare_exchange64(volatile void *p, uint64_t expected, uint64_t desired) {
    return __atomic_compare_exchange_n((volatile uint64_t *)p, &expected, desired, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

// The kernel's dma_wmb(), dma_rmb() and mb(): order accesses to memory that a coherent device also accesses
// (Documentation/memory-barriers.txt). On x86 stores are not reordered with stores, so the first two are only compiler
// barriers; on arm64 they are dmb oshst, dmb oshld and dmb osh.
CDMA_INLINE void cdma_write_barrier(void) {
#if defined(__aarch64__)
    __asm__ volatile("dmb oshst" ::: "memory");
#elif defined(__x86_64__) || defined(__i386__)
    __asm__ volatile("" ::: "memory");
#else
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}
CDMA_INLINE void cdma_read_barrier(void) {
#if defined(__aarch64__)
    __asm__ volatile("dmb oshld" ::: "memory");
#elif defined(__x86_64__) || defined(__i386__)
    __asm__ volatile("" ::: "memory");
#else
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}
// Makes the optimizer keep the computation of `value` and all earlier writes to memory.
CDMA_INLINE void cdma_keep(uint64_t value) { __asm__ volatile("" : : "r"(value) : "memory"); }
CDMA_INLINE void cdma_full_barrier(void) {
#if defined(__aarch64__)
    // The language's own fence orders accesses among processors only (dmb ish).
    __asm__ volatile("dmb osh" ::: "memory");
#else
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

// Copies memory that a device may be writing or reading at the same time: with volatile bytes, and words where both sides allow
// it. The order of the bytes is not defined; the caller detects and drops the result of a race.
static inline void cdma_copy_volatile(volatile void *to, const volatile void *from, size_t count) {
    volatile uint8_t *target = (volatile uint8_t *)to;
    const volatile uint8_t *source = (const volatile uint8_t *)from;
    size_t index = 0;
    if ((((uintptr_t)to | (uintptr_t)from) & 7) == 0)
        for (; index + 8 <= count; index += 8)
            *(volatile uint64_t *)(target + index) = *(const volatile uint64_t *)(source + index);
    for (; index < count; index++) target[index] = source[index];
}

// A spin-wait hint to the processor: the kernel's cpu_relax().
CDMA_INLINE void cdma_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#else
    __asm__ volatile("" ::: "memory");
#endif
}

// Sleeps while *word == expected, at most `nanoseconds`; may return early. Process-private.
static inline void cdma_futex_wait(void *word, uint32_t expected, int64_t nanoseconds) {
    struct timespec limit = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, &limit, (void *)0, 0);
}
static inline void cdma_futex_wake(void *word, int32_t waiters) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, waiters, (void *)0, (void *)0, 0);
}

#endif
