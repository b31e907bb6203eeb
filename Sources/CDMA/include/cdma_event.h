// SPDX-License-Identifier: Apache-2.0
// Events (eventfd(2)) and waiting for many of them (epoll(7)), by system calls with the kernel's own structures: the C
// library's headers for them declare different things with and without _GNU_SOURCE. Every function returns a negative errno on
// failure.
#ifndef CDMA_EVENT_H
#define CDMA_EVENT_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline int cdma_event_make(bool waits) {
    // EFD_CLOEXEC, EFD_NONBLOCK
    long fd = syscall(SYS_eventfd2, 0, O_CLOEXEC | (waits ? 0 : O_NONBLOCK));
    return fd < 0 ? -errno : (int)fd;
}
static inline int cdma_event_signal(int fd) {
    uint64_t one = 1;
    return write(fd, &one, sizeof one) < 0 ? -errno : 0;
}
static inline int cdma_event_clear(int fd) {
    uint64_t value;
    return read(fd, &value, sizeof value) < 0 ? -errno : 0;
}

// Whether `fd` is an eventfd, according to its link in /proc. 1, 0, or a negative errno.
static inline int cdma_event_is(int fd) {
    static const char wanted[] = "anon_inode:[eventfd]";
    char path[32] = "/proc/self/fd/", digits[12], found[sizeof wanted];
    int count = 0, length = 14;
    if (fd < 0) return -EBADF;
    for (int rest = fd; count == 0 || rest > 0; rest /= 10) digits[count++] = (char)('0' + rest % 10);
    while (count > 0) path[length++] = digits[--count];
    path[length] = 0;
    ssize_t n = readlink(path, found, sizeof found);
    if (n < 0) return errno == ENOENT ? -EBADF : -errno;
    if (n != (ssize_t)sizeof wanted - 1) return 0;
    for (ssize_t i = 0; i < n; i++)
        if (found[i] != wanted[i]) return 0;
    return 1;
}
// So that a peer that shares the event cannot make our reads or writes block.
static inline int cdma_event_never_waits(int fd) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) return -errno;
    if (flags & O_NONBLOCK) return 0;
    return fcntl(fd, F_SETFL, flags | O_NONBLOCK) ? -errno : 0;
}

// struct epoll_event, include/uapi/linux/eventpoll.h: packed on x86-64 alone.
struct cdma_epoll_entry {
    uint32_t events;
    uint64_t token;
}
#if defined(__x86_64__)
__attribute__((packed))
#endif
;
static inline int cdma_epoll_make(void) {
    // EPOLL_CLOEXEC
    long fd = syscall(SYS_epoll_create1, O_CLOEXEC);
    return fd < 0 ? -errno : (int)fd;
}
// EPOLL_CTL_ADD 1, EPOLL_CTL_DEL 2; EPOLLIN 1.
static inline int cdma_epoll_add(int epoll, int fd, uint64_t token) {
    struct cdma_epoll_entry entry = {1, token};
    return syscall(SYS_epoll_ctl, epoll, 1, fd, &entry) ? -errno : 0;
}
static inline int cdma_epoll_remove(int epoll, int fd) {
    struct cdma_epoll_entry entry = {0, 0};
    return syscall(SYS_epoll_ctl, epoll, 2, fd, &entry) ? -errno : 0;
}
// Tokens of the readable descriptors, at most `capacity` (64 or fewer): returns how many. Waits at most `nanoseconds`.
static inline int cdma_epoll_wait(int epoll, uint64_t *tokens, int capacity, int64_t nanoseconds) {
    // struct pollfd and struct timespec. With ppoll, because epoll_wait counts in milliseconds.
    struct {
        int32_t fd;
        int16_t events, ready;
    } set = {epoll, 1, 0};
    struct {
        int64_t seconds, nanoseconds;
    } limit = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    long ready = syscall(SYS_ppoll, &set, 1, &limit, (void *)0, 0);
    if (ready <= 0) return ready < 0 ? -errno : 0;
    struct cdma_epoll_entry entries[64];
    long n = syscall(SYS_epoll_pwait, epoll, entries, capacity < 64 ? capacity : 64, 0, (void *)0, 8);
    if (n < 0) return -errno;
    for (long i = 0; i < n; i++) tokens[i] = entries[i].token;
    return (int)n;
}

#endif
