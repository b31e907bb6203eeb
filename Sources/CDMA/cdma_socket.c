// SPDX-License-Identifier: Apache-2.0
// A source of its own, because <sys/socket.h> declares different things with and without _GNU_SOURCE, and a Swift file that sees it through two
// modules is refused.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "cdma_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static int cdma_unix_address(const char *path, struct sockaddr_un *address) {
    size_t length = strlen(path);
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (length == 0) return -ENOENT;
    if (length >= sizeof address->sun_path) return -ENAMETOOLONG;
    memcpy(address->sun_path, path, length);
    return 0;
}

int cdma_unix_listen(const char *path) {
    struct sockaddr_un address;
    int failure = cdma_unix_address(path, &address);
    if (failure) return failure;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    // Before bind(2) the mode of the socket becomes that of its file: no other user can connect at any moment.
    if (fchmod(fd, 0600) || bind(fd, (struct sockaddr *)&address, sizeof address)) goto failed;
    if (listen(fd, 16)) {
        failure = errno;
        unlink(path);
        errno = failure;
        goto failed;
    }
    return fd;
failed:
    failure = -errno;
    close(fd);
    return failure;
}

int cdma_unix_connect(const char *path) {
    struct sockaddr_un address;
    int failure = cdma_unix_address(path, &address);
    if (failure) return failure;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -errno;
    // Without waiting: the kernel would wait without a limit for room in the server's list of connections.
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) {
        failure = -errno;
        close(fd);
        return failure;
    }
    return fd;
}

int cdma_unix_remove(const char *path) {
    struct stat facts;
    if (lstat(path, &facts)) return -errno;
    if (!S_ISSOCK(facts.st_mode)) return -ENOTSOCK;
    return unlink(path) ? -errno : 0;
}

int cdma_unix_is_served(const char *path) {
    int fd = cdma_unix_connect(path);
    if (fd == -ECONNREFUSED || fd == -ENOENT) return 0;
    if (fd == -EAGAIN) return 1;
    if (fd < 0) return fd;
    close(fd);
    return 1;
}

int cdma_unix_accept(int fd) {
    int made;
    do {
        made = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    } while (made < 0 && (errno == EINTR || errno == ECONNABORTED));
    return made < 0 ? -errno : made;
}

int cdma_socket_shutdown(int fd) { return shutdown(fd, SHUT_RDWR) ? -errno : 0; }

int64_t cdma_socket_send_with(int fd, const void *bytes, size_t count, const int *descriptors, int number) {
    union {
        char bytes[CMSG_SPACE(sizeof(int) * CDMA_MOST_DESCRIPTORS)];
        struct cmsghdr header;
    } control;
    struct iovec part = {(void *)(uintptr_t)bytes, count};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (number < 0 || number > CDMA_MOST_DESCRIPTORS) return -EINVAL;
    if (number > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)number);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)number);
        memcpy(CMSG_DATA(header), descriptors, sizeof(int) * (size_t)number);
    }
    ssize_t n;
    do {
        n = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

int64_t cdma_socket_receive_with(int fd, void *bytes, size_t count, int *descriptors, int *number) {
    union {
        char bytes[CMSG_SPACE(sizeof(int) * CDMA_MOST_DESCRIPTORS)];
        struct cmsghdr header;
    } control;
    struct iovec part = {bytes, count};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    *number = 0;
    ssize_t n;
    do {
        n = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0) return -errno;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        int found = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (int i = 0; i < found && *number < CDMA_MOST_DESCRIPTORS; i++)
            memcpy(&descriptors[(*number)++], CMSG_DATA(header) + sizeof(int) * (size_t)i, sizeof(int));
    }
    if (!(message.msg_flags & MSG_CTRUNC)) return n;
    while (*number > 0) close(descriptors[--*number]);
    return -EMSGSIZE;
}

int cdma_socket_peer(int fd) {
    // SO_PEERPIDFD, include/uapi/asm-generic/socket.h.
    int pidfd = -1;
    socklen_t length = sizeof pidfd;
    if (getsockopt(fd, SOL_SOCKET, 77, &pidfd, &length) == 0) return pidfd;
    struct ucred peer;
    length = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length)) return -errno;
    // A process of another PID namespace has the number 0 here.
    if (peer.pid <= 0) return -ESRCH;
    // pidfd_open(2), Linux 5.3: 434 on every machine.
    long opened = syscall(434, peer.pid, 0);
    return opened < 0 ? -errno : (int)opened;
}

int cdma_process_has_ended(int pidfd) {
    struct pollfd set = {.fd = pidfd, .events = POLLIN};
    int ready = poll(&set, 1, 0);
    if (ready < 0) return errno == EINTR ? 0 : -errno;
    return set.revents & POLLIN ? 1 : set.revents ? -EBADF : 0;
}

int cdma_reopen_read_only(int fd) {
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int copy = open(path, O_RDONLY | O_CLOEXEC);
    return copy < 0 ? -errno : copy;
}
