// SPDX-License-Identifier: Apache-2.0
// io_uring through its three system calls: structures and constants of the kernel's ABI (include/uapi/linux/io_uring.h),
// declared here because installed headers are often older than the running kernel. Every function returns a negative errno on
// failure.
#ifndef CDMA_URING_H
#define CDMA_URING_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

// The numbers are the same on every architecture with unified system calls (5.1 and later).
#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#define SYS_io_uring_enter 426
#define SYS_io_uring_register 427
#endif

// struct io_uring_sqe, with one name for each union.
struct cdma_uring_sqe {
    uint8_t opcode;
    uint8_t flags;
    uint16_t ioprio;
    int32_t fd;
    uint64_t offset;
    uint64_t address;
    uint32_t length;
    uint32_t operation_flags;
    uint64_t user_data;
    uint16_t buffer;
    uint16_t personality;
    int32_t file_index;
    uint64_t address3;
    uint64_t reserved;
};
_Static_assert(sizeof(struct cdma_uring_sqe) == 64, "struct io_uring_sqe has 64 bytes");

// struct io_uring_cqe; with IORING_SETUP_CQE32 sixteen more bytes follow.
struct cdma_uring_cqe {
    uint64_t user_data;
    int32_t result;
    uint32_t flags;
};
_Static_assert(sizeof(struct cdma_uring_cqe) == 16, "struct io_uring_cqe has 16 bytes");

// struct io_sqring_offsets and struct io_cqring_offsets.
struct cdma_uring_sq_offsets {
    uint32_t head, tail, ring_mask, ring_entries, flags, dropped, array, reserved1;
    uint64_t user_address;
};
struct cdma_uring_cq_offsets {
    uint32_t head, tail, ring_mask, ring_entries, overflow, cqes, flags, reserved1;
    uint64_t user_address;
};

// struct io_uring_params.
struct cdma_uring_params {
    uint32_t sq_entries, cq_entries, flags, sq_thread_cpu, sq_thread_idle, features, wq_fd;
    uint32_t reserved[3];
    struct cdma_uring_sq_offsets sq;
    struct cdma_uring_cq_offsets cq;
};
_Static_assert(sizeof(struct cdma_uring_params) == 120, "struct io_uring_params has 120 bytes");

// struct io_uring_getevents_arg and struct __kernel_timespec.
struct cdma_uring_timespec {
    int64_t seconds, nanoseconds;
};
struct cdma_uring_wait {
    uint64_t signal_mask;
    uint32_t signal_mask_size;
    uint32_t minimum_wait;
    uint64_t timeout;
};

// struct io_uring_rsrc_register and struct io_uring_rsrc_update2.
struct cdma_uring_resources {
    uint32_t count, flags;
    uint64_t reserved, data, tags;
};
struct cdma_uring_resource_update {
    uint32_t offset, reserved;
    uint64_t data, tags;
    uint32_t count, reserved2;
};

// struct io_uring_buf_reg and struct io_uring_buf; the tail of a ring of buffers occupies the last two bytes of its first
// entry.
struct cdma_uring_buffer_ring {
    uint64_t address;
    uint32_t entries;
    uint16_t group, flags;
    uint64_t reserved[3];
};
struct cdma_uring_buffer {
    uint64_t address;
    uint32_t length;
    uint16_t number, tail;
};
_Static_assert(sizeof(struct cdma_uring_buffer_ring) == 40, "struct io_uring_buf_reg has 40 bytes");
_Static_assert(sizeof(struct cdma_uring_buffer) == 16, "struct io_uring_buf has 16 bytes");
static inline void cdma_uring_buffer_tail(void *ring, uint16_t tail) {
    __atomic_store_n((uint16_t *)ring + 7, tail, __ATOMIC_RELEASE);
}

// struct io_uring_probe, with room for every operation that its 8-bit numbers can name.
struct cdma_uring_probe_operation {
    uint8_t operation, reserved;
    uint16_t flags;
    uint32_t reserved2;
};
struct cdma_uring_probe {
    uint8_t last_operation, count;
    uint16_t reserved;
    uint32_t reserved2[3];
    struct cdma_uring_probe_operation operations[256];
};

static inline int cdma_uring_setup(uint32_t entries, struct cdma_uring_params *params) {
    long result = syscall(SYS_io_uring_setup, entries, params);
    return result < 0 ? -errno : (int)result;
}
// The instruction itself where it is known: the doorbell of every submission needs neither a call nor errno.
static inline __attribute__((always_inline)) int cdma_uring_enter(int fd, uint32_t submit, uint32_t complete, uint32_t flags,
                                                                  const void *argument, size_t size) {
#if defined(__x86_64__) && defined(__LP64__)
    long result;
    register long a4 __asm__("r10") = (long)flags;
    register const void *a5 __asm__("r8") = argument;
    register size_t a6 __asm__("r9") = size;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"((long)SYS_io_uring_enter), "D"((long)fd), "S"((long)submit), "d"((long)complete), "r"(a4),
                       "r"(a5), "r"(a6)
                     : "rcx", "r11", "memory");
    return (int)result;
#elif defined(__aarch64__) && defined(__LP64__)
    register long number __asm__("x8") = SYS_io_uring_enter;
    register long a1 __asm__("x0") = (long)fd;
    register long a2 __asm__("x1") = (long)submit;
    register long a3 __asm__("x2") = (long)complete;
    register long a4 __asm__("x3") = (long)flags;
    register const void *a5 __asm__("x4") = argument;
    register size_t a6 __asm__("x5") = size;
    __asm__ volatile("svc 0" : "+r"(a1) : "r"(number), "r"(a2), "r"(a3), "r"(a4), "r"(a5), "r"(a6) : "memory");
    return (int)a1;
#else
    long result = syscall(SYS_io_uring_enter, fd, submit, complete, flags, argument, size);
    return result < 0 ? -errno : (int)result;
#endif
}
static inline int cdma_uring_register(int fd, uint32_t operation, void *argument, uint32_t count) {
    long result = syscall(SYS_io_uring_register, fd, operation, argument, count);
    return result < 0 ? -errno : (int)result;
}

// Maps a part of the ring, selected by the offset (IORING_OFF_SQ_RING, IORING_OFF_SQES).
static inline int cdma_uring_map(int fd, uint64_t offset, size_t length, void **result) {
    void *p = mmap((void *)0, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, (off_t)offset);
    if (p == MAP_FAILED) return -errno;
    // A child process must not have a ring that its parent drives.
    if (madvise(p, length, MADV_DONTFORK)) {
        int error = errno;
        munmap(p, length);
        return -error;
    }
    *result = p;
    return 0;
}

#endif
