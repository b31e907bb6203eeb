// SPDX-License-Identifier: Apache-2.0
// Memory of a peer process: mapping its file, and copying bytes that the peer may change meanwhile. Every function returns 0 or
// a value on success and a negative errno on failure.
#ifndef CDMA_FOREIGN_H
#define CDMA_FOREIGN_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cdma_atomic.h"
#include "cdma_statx.h"

// include/uapi/linux/fcntl.h, magic.h
#define CDMA_F_GET_SEALS 1034
#define CDMA_F_SEAL_SHRINK 2
#define CDMA_HUGETLBFS_MAGIC 0x958458f6

struct cdma_foreign_file {
    uint64_t size;
    // The unit of offsets and of a mapping's length: the base page size, or the huge page size.
    uint64_t page;
    // Whether the file is sealed against shrinking (F_SEAL_SHRINK), so that no page inside its size can be removed by truncation.
    bool keeps_size;
    bool is_huge;
};

// The seals are read before the size: a seal cannot be removed, so that a size read after it stays valid.
static inline int cdma_foreign_examine(int fd, struct cdma_foreign_file *file) {
    int seals = fcntl(fd, CDMA_F_GET_SEALS);
    if (seals < 0 && errno == EBADF) return -EBADF;
    struct cdma_statx facts;
    int refused = cdma_statx_file(fd, "", 0, &facts);
    if (refused) return refused;
    // struct statfs begins with its type, a word (include/uapi/asm-generic/statfs.h); it has 120 bytes on 64-bit machines.
    int64_t system[32] = {0};
    if (syscall(SYS_fstatfs, fd, system)) return -errno;
    long base = sysconf(_SC_PAGESIZE);
    file->size = facts.size;
    file->is_huge = (uint32_t)system[0] == CDMA_HUGETLBFS_MAGIC;
    file->page = file->is_huge && facts.block_size > (uint32_t)base ? facts.block_size : (uint64_t)base;
    file->keeps_size = seals >= 0 && (seals & CDMA_F_SEAL_SHRINK);
    return 0;
}

// Maps a part of a file with exactly these permissions. A child process does not inherit it, and a core dump omits it: it is
// another process's memory.
static inline int cdma_foreign_map(int fd, uint64_t offset, size_t length, bool reads, bool writes, void **result) {
    int protection = (reads ? PROT_READ : 0) | (writes ? PROT_WRITE : 0);
    void *p = mmap((void *)0, length, protection, MAP_SHARED, fd, (off_t)offset);
    if (p == MAP_FAILED) return -errno;
    if (madvise(p, length, MADV_DONTFORK) || madvise(p, length, MADV_DONTDUMP)) {
        int error = errno;
        munmap(p, length);
        return -error;
    }
    *result = p;
    return 0;
}

// process_vm_readv(2) and process_vm_writev(2) on this process itself: the kernel copies, and returns fewer bytes, or EFAULT,
// where a page of `foreign` is missing. No signal is sent. Returns the bytes copied.
struct cdma_foreign_span {
    void *start;
    size_t count;
};
static inline int64_t cdma_foreign_fetch(void *own, const void *foreign, size_t count) {
    struct cdma_foreign_span local = {own, count}, remote = {(void *)(uintptr_t)foreign, count};
    long n = syscall(SYS_process_vm_readv, getpid(), &local, 1ul, &remote, 1ul, 0ul);
    return n < 0 ? -errno : n;
}
static inline int64_t cdma_foreign_put(void *foreign, const void *own, size_t count) {
    struct cdma_foreign_span local = {(void *)(uintptr_t)own, count}, remote = {foreign, count};
    long n = syscall(SYS_process_vm_writev, getpid(), &local, 1ul, &remote, 1ul, 0ul);
    return n < 0 ? -errno : n;
}

// Atomics of every width, relaxed or ordered: each is one access of its own width, as the volatile ones, and not a data race
// for the compiler.
#define CDMA_FOREIGN_WORD(bits)                                                                                         \
    CDMA_INLINE uint##bits##_t cdma_foreign_load##bits(const volatile void *p) {                                         \
        return __atomic_load_n((const volatile uint##bits##_t *)p, __ATOMIC_RELAXED);                                     \
    }                                                                                                                   \
    CDMA_INLINE void cdma_foreign_store##bits(volatile void *p, uint##bits##_t v) {                                       \
        __atomic_store_n((volatile uint##bits##_t *)p, v, __ATOMIC_RELAXED);                                              \
    }                                                                                                                   \
    CDMA_INLINE uint##bits##_t cdma_foreign_load_acquire##bits(const volatile void *p) {                                 \
        return __atomic_load_n((const volatile uint##bits##_t *)p, __ATOMIC_ACQUIRE);                                     \
    }                                                                                                                   \
    CDMA_INLINE void cdma_foreign_store_release##bits(volatile void *p, uint##bits##_t v) {                               \
        __atomic_store_n((volatile uint##bits##_t *)p, v, __ATOMIC_RELEASE);                                              \
    }
CDMA_FOREIGN_WORD(8)
CDMA_FOREIGN_WORD(16)
CDMA_FOREIGN_WORD(32)
CDMA_FOREIGN_WORD(64)

// Stores `desired` if the word is `expected`, and returns the old value.
CDMA_INLINE uint32_t cdma_foreign_compare_exchange32(volatile void *p, uint32_t expected, uint32_t desired) {
    __atomic_compare_exchange_n((volatile uint32_t *)p, &expected, desired, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return expected;
}
CDMA_INLINE uint64_t cdma_foreign_compare_exchange64(volatile void *p, uint64_t expected, uint64_t desired) {
    __atomic_compare_exchange_n((volatile uint64_t *)p, &expected, desired, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return expected;
}

// Reads bytes from a peer's memory. Each aligned word of 8 bytes there is read with one access, in ascending order; the ends
// with accesses of 4, 2 and 1. Each byte is read once, so that the checked copy is the one that is used.
static inline void cdma_foreign_read(void *own, const volatile void *foreign, size_t count) {
    uint8_t *to = (uint8_t *)own;
    const volatile uint8_t *from = (const volatile uint8_t *)foreign;
    while (count && ((uintptr_t)from & 7)) {
        if (!((uintptr_t)from & 3) && count >= 4) {
            uint32_t word = cdma_foreign_load32(from);
            memcpy(to, &word, 4), to += 4, from += 4, count -= 4;
        } else if (!((uintptr_t)from & 1) && count >= 2) {
            uint16_t word = cdma_foreign_load16(from);
            memcpy(to, &word, 2), to += 2, from += 2, count -= 2;
        } else {
            *to++ = cdma_foreign_load8(from++), count--;
        }
    }
    for (; count >= 8; to += 8, from += 8, count -= 8) {
        uint64_t word = cdma_foreign_load64(from);
        memcpy(to, &word, 8);
    }
    if (count & 4) {
        uint32_t word = cdma_foreign_load32(from);
        memcpy(to, &word, 4), to += 4, from += 4;
    }
    if (count & 2) {
        uint16_t word = cdma_foreign_load16(from);
        memcpy(to, &word, 2), to += 2, from += 2;
    }
    if (count & 1) *to = cdma_foreign_load8(from);
}

// Writes bytes to a peer's memory, by the same rules.
static inline void cdma_foreign_write(volatile void *foreign, const void *own, size_t count) {
    volatile uint8_t *to = (volatile uint8_t *)foreign;
    const uint8_t *from = (const uint8_t *)own;
    while (count && ((uintptr_t)to & 7)) {
        if (!((uintptr_t)to & 3) && count >= 4) {
            uint32_t word;
            memcpy(&word, from, 4);
            cdma_foreign_store32(to, word), to += 4, from += 4, count -= 4;
        } else if (!((uintptr_t)to & 1) && count >= 2) {
            uint16_t word;
            memcpy(&word, from, 2);
            cdma_foreign_store16(to, word), to += 2, from += 2, count -= 2;
        } else {
            cdma_foreign_store8(to++, *from++), count--;
        }
    }
    for (; count >= 8; to += 8, from += 8, count -= 8) {
        uint64_t word;
        memcpy(&word, from, 8);
        cdma_foreign_store64(to, word);
    }
    if (count & 4) {
        uint32_t word;
        memcpy(&word, from, 4);
        cdma_foreign_store32(to, word), to += 4, from += 4;
    }
    if (count & 2) {
        uint16_t word;
        memcpy(&word, from, 2);
        cdma_foreign_store16(to, word), to += 2, from += 2;
    }
    if (count & 1) cdma_foreign_store8(to, *from);
}

// The counter, of `shards` (a power of two), that the calling thread uses: a hash of the address of its control block.
CDMA_INLINE size_t cdma_thread_shard(size_t shards) {
    uint64_t place = (uint64_t)(uintptr_t)__builtin_thread_pointer();
    return (size_t)((place >> 6) * UINT64_C(0x9e3779b97f4a7c15) >> 40) & (shards - 1);
}

#endif
