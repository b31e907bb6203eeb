// SPDX-License-Identifier: Apache-2.0
// Memory that a device may access: the system calls behind the buffers, with flags that Swift's overlay lacks. Every function
// returns 0 or a value on success and a negative errno on failure, so that no caller reads errno late.
#ifndef CDMA_MEMORY_H
#define CDMA_MEMORY_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// Values of the kernel's UAPI that older C libraries lack. They are part of its ABI and the same on every architecture this
// package builds for (include/uapi/asm-generic/mman-common.h, hugetlb_encode.h, linux/memfd.h).
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MAP_HUGETLB
#define MAP_HUGETLB 0x40000
#endif
#ifndef MADV_HUGEPAGE
#define MADV_HUGEPAGE 14
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MFD_CLOEXEC
#define MFD_CLOEXEC 1U
#endif
#ifndef MFD_ALLOW_SEALING
#define MFD_ALLOW_SEALING 2U
#endif
#ifndef MFD_HUGETLB
#define MFD_HUGETLB 4U
#endif
#ifndef F_ADD_SEALS
#define F_ADD_SEALS 1033
#endif
#define CDMA_SEAL_SEAL 1
#define CDMA_SEAL_SHRINK 2
#define CDMA_SEAL_GROW 4

// Processor time of the calling thread, user and system.
static inline int64_t cdma_thread_nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

// Processor time of the whole process, all threads, user and system.
static inline int64_t cdma_process_nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

// Sleeps until a time on CLOCK_MONOTONIC; returns early on a signal.
static inline void cdma_sleep_until(int64_t nanoseconds) {
    struct timespec t = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, (struct timespec *)0);
}

static inline int64_t cdma_monotonic_nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

// Memory for objects of the package, or a null pointer where there is not enough; the alignment is a power of two.
static inline void *cdma_object_allocate(size_t alignment, size_t length) {
    void *p = (void *)0;
    return posix_memalign(&p, alignment < sizeof(void *) ? sizeof(void *) : alignment, length) ? (void *)0 : p;
}

static inline void cdma_object_free(void *p) { free(p); }

static inline size_t cdma_page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }

// Anonymous memory. `huge_shift` is 0 for base pages, otherwise the logarithm of the huge page size (21, 30). `at` is 0, or the
// exact address: existing mappings are never replaced then, and where an older kernel takes the address only as a hint, the
// result is -EEXIST as well.
static inline int cdma_map_anonymous(uintptr_t at, size_t length, unsigned huge_shift, void **result) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    if (huge_shift) flags |= MAP_HUGETLB | (int)(huge_shift << 26);
    if (at) flags |= MAP_FIXED_NOREPLACE;
    void *p = mmap((void *)at, length, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (p == MAP_FAILED) return -errno;
    if (at && (uintptr_t)p != at) {
        munmap(p, length);
        return -EEXIST;
    }
    *result = p;
    return 0;
}

static inline int cdma_map_file(int fd, uintptr_t at, size_t length, void **result) {
    void *p = mmap((void *)at, length, PROT_READ | PROT_WRITE, MAP_SHARED | (at ? MAP_FIXED_NOREPLACE : 0), fd, 0);
    if (p == MAP_FAILED) return -errno;
    if (at && (uintptr_t)p != at) {
        munmap(p, length);
        return -EEXIST;
    }
    *result = p;
    return 0;
}

static inline int cdma_unmap(void *p, size_t length) { return munmap(p, length) ? -errno : 0; }
static inline int cdma_advise_huge(void *p, size_t length) { return madvise(p, length, MADV_HUGEPAGE) ? -errno : 0; }
static inline int cdma_populate(void *p, size_t length) {
    return madvise(p, length, MADV_POPULATE_WRITE) ? -errno : 0;
}
// By system call: some sanitizers replace the C library's mlock with one that does nothing, and a buffer must not claim to be
// locked when it is not.
static inline int cdma_lock(void *p, size_t length) { return syscall(SYS_mlock, p, length) ? -errno : 0; }
static inline int cdma_close(int fd) { return close(fd) ? -errno : 0; }

// A memfd of `length` bytes whose size is sealed: a peer that shares it cannot cause a fault here by shrinking it.
static inline int cdma_shared_memory(const char *name, size_t length, unsigned huge_shift) {
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    if (huge_shift) flags |= MFD_HUGETLB | (huge_shift << 26);
    int fd = (int)syscall(SYS_memfd_create, name, flags);
    if (fd < 0) return -errno;
    if (ftruncate(fd, (off_t)length) || fcntl(fd, F_ADD_SEALS, CDMA_SEAL_SHRINK | CDMA_SEAL_GROW | CDMA_SEAL_SEAL)) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

// include/uapi/linux/dma-heap.h, declared here because the header came with Linux 5.6.
struct cdma_heap_allocation {
    uint64_t length;
    uint32_t fd;
    uint32_t fd_flags;
    uint64_t heap_flags;
};
// A dma-buf of `length` bytes from the heap at `path`, or -ENODEV where there is no such heap.
static inline int cdma_heap_allocate(const char *path, size_t length) {
    int heap = open(path, O_RDWR | O_CLOEXEC);
    if (heap < 0) return errno == ENOENT || errno == ENOTDIR ? -ENODEV : -errno;
    struct cdma_heap_allocation request = {.length = length, .fd_flags = O_RDWR | O_CLOEXEC};
    int result = ioctl(heap, _IOWR('H', 0, struct cdma_heap_allocation), &request) ? -errno : (int)request.fd;
    close(heap);
    return result;
}

// include/uapi/linux/dma-buf.h: DMA_BUF_IOCTL_SYNC brackets the CPU's access to a dma-buf.
#define CDMA_DMA_BUF_READ 1
#define CDMA_DMA_BUF_WRITE 2
#define CDMA_DMA_BUF_END 4
static inline int cdma_dma_buf_sync(int fd, uint64_t flags) {
    int result;
    do {
        result = ioctl(fd, _IOW('b', 0, uint64_t), &flags);
    } while (result && (errno == EINTR || errno == EAGAIN));
    return result ? -errno : 0;
}

// The soft limit of RLIMIT_MEMLOCK in bytes, UINT64_MAX where there is none.
static inline uint64_t cdma_lock_limit(void) {
    // The system call, with the kernel's own constant and structure (include/uapi/asm-generic/resource.h): <sys/resource.h>
    // declares different things with and without _GNU_SOURCE, and the Swift compiler rejects a file that imports it through two
    // modules.
    const int memlock = 8;
    struct { uint64_t soft, hard; } limit;
    if (syscall(SYS_prlimit64, 0, memlock, (void *)0, &limit)) return UINT64_MAX;
    return limit.soft;
}

// Reads up to `capacity` bytes of a kernel file. Returns their number.
static inline int64_t cdma_read_file(const char *path, void *bytes, size_t capacity) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -errno;
    size_t filled = 0;
    while (filled < capacity) {
        ssize_t n = read(fd, (char *)bytes + filled, capacity - filled);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            int error = errno;
            close(fd);
            return -error;
        }
        if (n == 0) break;
        filled += (size_t)n;
    }
    if (close(fd) && errno != EINTR) return -errno;
    return (int64_t)filled;
}

// The C library declares it only with _GNU_SOURCE, and an earlier include may have been made without.
extern int pthread_getattr_np(pthread_t, pthread_attr_t *);

// Bounds of the calling thread's stack. 0, or a negative errno.
static inline int cdma_stack_bounds(uintptr_t *low, uintptr_t *high) {
    pthread_attr_t attributes;
    int error = pthread_getattr_np(pthread_self(), &attributes);
    if (error) return -error;
    void *base = 0;
    size_t size = 0;
    error = pthread_attr_getstack(&attributes, &base, &size);
    pthread_attr_destroy(&attributes);
    if (error) return -error;
    *low = (uintptr_t)base;
    *high = (uintptr_t)base + size;
    return 0;
}

// Writes the lines back to memory and invalidates them: needed before a device that does not snoop the caches reads, and before
// the CPU reads data that such a device wrote. 0, or -ENOTSUP where a process cannot do it.
static inline int cdma_cache_flush(const void *start, size_t count, size_t line) {
#if defined(__x86_64__)
    uintptr_t p = (uintptr_t)start & ~(uintptr_t)(line - 1);
    for (; p < (uintptr_t)start + count; p += line) __asm__ volatile("clflush %0" : "+m"(*(volatile char *)p));
    __asm__ volatile("mfence" ::: "memory");
    return 0;
#elif defined(__aarch64__)
    uintptr_t p = (uintptr_t)start & ~(uintptr_t)(line - 1);
    for (; p < (uintptr_t)start + count; p += line) __asm__ volatile("dc civac, %0" ::"r"(p) : "memory");
    __asm__ volatile("dsb sy" ::: "memory");
    return 0;
#else
    (void)start, (void)count, (void)line;
    return -ENOTSUP;
#endif
}

// A coherent device sees every earlier access before the later writes.
static inline __attribute__((always_inline)) void cdma_release_barrier(void) {
#if defined(__aarch64__)
    __asm__ volatile("dmb osh" ::: "memory");
#elif defined(__x86_64__) || defined(__i386__)
    __asm__ volatile("" ::: "memory");
#else
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

// Set while the sanitizer runs. A C object, so that reading it is one load in every module (see cdma.c).
extern uint32_t cdma_sanitizer_word;
static inline __attribute__((always_inline)) uint32_t cdma_sanitizer_load(void) {
    return __atomic_load_n(&cdma_sanitizer_word, __ATOMIC_RELAXED);
}
static inline void cdma_sanitizer_store(uint32_t value) {
    __atomic_store_n(&cdma_sanitizer_word, value, __ATOMIC_RELAXED);
}
static inline bool cdma_sanitizer_asked(void) {
    const char *value = getenv("DMA_SANITIZE");
    return value && *value && !(value[0] == '0' && !value[1]);
}

#endif
