// SPDX-License-Identifier: Apache-2.0
// UNIX sockets that carry descriptors (SCM_RIGHTS), and the process at the other end. Every function returns a negative errno on failure.
#ifndef CDMA_SOCKET_H
#define CDMA_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The kernel passes at most this many descriptors in one message (SCM_MAX_FD, include/net/scm.h).
#define CDMA_MOST_DESCRIPTORS 253

// Binds a socket to `path` and listens. The socket file has mode 0600. -EADDRINUSE where the path exists.
int cdma_unix_listen(const char *path);
// Whether a process listens at `path`: 1, or 0 where the socket file is a leftover.
int cdma_unix_is_served(const char *path);
int cdma_unix_connect(const char *path);
// Removes a socket's file, and no other file: -ENOTSOCK.
int cdma_unix_remove(const char *path);
// The next connection, waiting for it. -EINVAL after cdma_socket_shutdown.
int cdma_unix_accept(int fd);
// Ends both directions: every thread that waits on the socket returns.
int cdma_socket_shutdown(int fd);

// Sends bytes, and descriptors with the first of them, without waiting: how many bytes; -EAGAIN where there is no room.
int64_t cdma_socket_send_with(int fd, const void *bytes, size_t count, const int *descriptors, int number);
// Receives bytes and the descriptors that came with them, without waiting: how many bytes; 0 at the end; -EAGAIN where nothing has arrived.
// `descriptors` has room for CDMA_MOST_DESCRIPTORS; `number` is set to how many were received. -EMSGSIZE where the kernel has dropped some, for
// instance at the limit of open files; those that were received are closed then.
int64_t cdma_socket_receive_with(int fd, void *bytes, size_t count, int *descriptors, int *number);

// A pidfd of the process at the other end; where this is the connecting side, of the process that called listen(2). By SO_PEERPIDFD (Linux 6.5);
// before that by SO_PEERCRED and pidfd_open(2), between which the number may have become another process's, if the peer has ended already.
int cdma_socket_peer(int fd);
// Whether the process of a pidfd has ended: 1, 0, or a negative errno.
int cdma_process_has_ended(int pidfd);

// The file of `fd`, opened again for reading only: a process that gets it cannot map it for writing.
int cdma_reopen_read_only(int fd);

#endif
