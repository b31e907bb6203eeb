// SPDX-License-Identifier: Apache-2.0
// Files as peripherals: the system calls of storage, pipes and sockets that Swift's overlay lacks, or declares differently for
// each C library. Every function returns a negative errno on failure.
#ifndef CDMA_FILE_H
#define CDMA_FILE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cdma_event.h"
#include "cdma_statx.h"

// By system calls, with the kernel's own structures: the C library's headers for sockets, statistics and events declare
// different things with and without _GNU_SOURCE, and the Swift compiler rejects a file that imports them through two modules.
#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x00000008
#endif
#ifndef O_DIRECT
#if defined(__aarch64__) || defined(__arm__)
#define O_DIRECT 0200000
#else
#define O_DIRECT 040000
#endif
#endif
#ifndef O_NOATIME
#define O_NOATIME 01000000
#endif
// include/linux/socket.h
#define CDMA_MSG_DONTWAIT 0x40
#define CDMA_MSG_NOSIGNAL 0x4000

// Columns of the terminal behind a file: TIOCGWINSZ. 0 where it is no terminal, or the terminal does not report them.
static inline int cdma_terminal_columns(int fd) {
    struct winsize size = {0};
    return ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

// A segment of an engine's operand list has the layout of the kernel's struct iovec: two 64-bit words.
struct cdma_segment {
    uint64_t address, count;
};

// struct user_msghdr on 64-bit kernels, include/linux/socket.h.
struct cdma_message {
    uint64_t name;
    uint32_t name_length, reserved;
    uint64_t segments, count, control, control_length;
    uint32_t flags, reserved2;
};

// The kind of file (the format bits of its mode), and the alignments of direct transfers with it; 0 where the kernel does not
// report them.
struct cdma_file_facts {
    uint32_t format;
    uint32_t block;
    int32_t flags;
    uint32_t memory_alignment;
    uint32_t offset_alignment;
    int32_t socket_type;
    uint32_t device_major, device_minor;
    uint64_t size;
};

static inline int cdma_file_examine(int fd, struct cdma_file_facts *facts) {
    struct cdma_statx x;
    int refused = cdma_statx_file(fd, "", 0, &x);
    if (refused) return refused;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) return -errno;
    facts->format = x.mode & 0170000u;
    facts->block = x.block_size;
    facts->flags = flags;
    facts->size = x.size;
    facts->socket_type = 0;
    facts->device_major = x.special_major;
    facts->device_minor = x.special_minor;
    facts->memory_alignment = x.direct_memory_alignment;
    facts->offset_alignment = x.direct_offset_alignment;
    if (facts->format == 0060000) {
        int sector = 0;
        uint64_t bytes = 0;
        // BLKSSZGET and BLKGETSIZE64, include/uapi/linux/fs.h.
        if (ioctl(fd, _IO(0x12, 104), &sector) == 0 && sector > 0) {
            facts->block = (uint32_t)sector;
            if (facts->offset_alignment == 0) facts->memory_alignment = facts->offset_alignment = (uint32_t)sector;
        }
        if (ioctl(fd, _IOR(0x12, 114, size_t), &bytes) == 0) facts->size = bytes;
    }
    if (facts->format == 0140000) {
        int type = 0;
        uint32_t length = sizeof type;
        // SOL_SOCKET, SO_TYPE
        if (syscall(SYS_getsockopt, fd, 1, 3, &type, &length) == 0) facts->socket_type = type;
    }
    return 0;
}

static inline int cdma_file_duplicate(int fd) {
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return copy < 0 ? -errno : copy;
}

// Another open file description of the file open as `fd`, with O_DIRECT or without. Fails for files without a path and for file
// systems that refuse the flag.
static inline int cdma_file_reopen(int fd, bool direct) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) return -errno;
    flags &= O_ACCMODE | O_APPEND | O_NONBLOCK | O_SYNC | O_DSYNC | O_NOATIME;
    char path[32] = "/proc/self/fd/";
    char digits[12];
    int count = 0, length = 14;
    for (int rest = fd; count == 0 || rest > 0; rest /= 10) digits[count++] = (char)('0' + rest % 10);
    while (count > 0) path[length++] = digits[--count];
    path[length] = 0;
    int copy = open(path, flags | O_CLOEXEC | O_NOCTTY | (direct ? O_DIRECT : 0));
    return copy < 0 ? -errno : copy;
}

// preadv2(2), pwritev2(2): a position of -1 means the current one.
static inline int64_t cdma_file_read(int fd, const void *segments, int count, int64_t position, int flags) {
    long n = syscall(SYS_preadv2, fd, segments, (unsigned long)count, position, position >> 32, flags);
    return n < 0 ? -errno : n;
}
static inline int64_t cdma_file_write(int fd, const void *segments, int count, int64_t position, int flags) {
    long n = syscall(SYS_pwritev2, fd, segments, (unsigned long)count, position, position >> 32, flags);
    return n < 0 ? -errno : n;
}
static inline int cdma_file_sync(int fd, bool data_only) {
    return syscall(data_only ? SYS_fdatasync : SYS_fsync, fd) ? -errno : 0;
}
static inline int cdma_file_allocate(int fd, int mode, uint64_t offset, uint64_t count) {
    return syscall(SYS_fallocate, fd, mode, offset, count) ? -errno : 0;
}
// BLOCK_URING_CMD_DISCARD and BLKDISCARD, include/uapi/linux/blkdev.h and fs.h.
static inline uint32_t cdma_uring_discard_operation(void) { return (uint32_t)_IO(0x12, 0); }
static inline int cdma_block_discard(int fd, uint64_t start, uint64_t count) {
    uint64_t range[2] = {start, count};
    return ioctl(fd, _IO(0x12, 119), range) ? -errno : 0;
}
static inline int64_t cdma_file_splice(int from, int64_t from_offset, int to, int64_t to_offset, size_t count, uint32_t flags) {
    int64_t in = from_offset, out = to_offset;
    long n = syscall(SYS_splice, from, in < 0 ? (int64_t *)0 : &in, to, out < 0 ? (int64_t *)0 : &out, count, flags);
    return n < 0 ? -errno : n;
}
static inline int64_t cdma_file_tee(int from, int to, size_t count, uint32_t flags) {
    long n = syscall(SYS_tee, from, to, count, flags);
    return n < 0 ? -errno : n;
}
static inline int64_t cdma_socket_receive(int fd, void *bytes, size_t count, int flags) {
    long n = syscall(SYS_recvfrom, fd, bytes, count, flags, (void *)0, (void *)0);
    return n < 0 ? -errno : n;
}
static inline int64_t cdma_socket_send(int fd, const void *bytes, size_t count, int flags) {
    long n = syscall(SYS_sendto, fd, bytes, count, flags | CDMA_MSG_NOSIGNAL, (void *)0, 0);
    return n < 0 ? -errno : n;
}

static inline int64_t cdma_socket_message(int fd, struct cdma_message message, int flags, bool sends) {
    long n = syscall(sends ? SYS_sendmsg : SYS_recvmsg, fd, &message, flags | (sends ? CDMA_MSG_NOSIGNAL : 0));
    return n < 0 ? -errno : n;
}

// The kernel's struct pollfd and struct timespec.
struct cdma_poll {
    int32_t fd;
    int16_t events, ready;
};
// Waits until `fd` is ready for `events` or `other` can be read; -1 for none. Bit 0: the first, bit 1: the second; 0 after
// `milliseconds`.
static inline int cdma_file_await(int fd, short events, int other, int milliseconds) {
    struct cdma_poll set[2] = {{.fd = fd, .events = events}, {.fd = other, .events = 1}};
    struct {
        int64_t seconds, nanoseconds;
    } limit = {milliseconds / 1000, (int64_t)(milliseconds % 1000) * 1000000};
    long n = syscall(SYS_ppoll, set, 2, &limit, (void *)0, 0);
    if (n < 0) return -errno;
    return (set[0].ready ? 1 : 0) | (set[1].ready ? 2 : 0);
}

#endif
