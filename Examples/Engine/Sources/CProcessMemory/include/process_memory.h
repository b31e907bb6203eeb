// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

/// process_vm_writev(2) on this process: the kernel reads `sources` and writes `targets`. Returns the bytes moved, or a negative errno.
ssize_t process_memory_write(const struct iovec *sources, size_t source_count, const struct iovec *targets, size_t target_count);

/// process_vm_readv(2) on this process: the same transfer, with the ends exchanged in the call. Returns the bytes moved, or a negative errno.
ssize_t process_memory_read(const struct iovec *sources, size_t source_count, const struct iovec *targets, size_t target_count);

/// From here on, this thread's two calls above fail with EPERM, as under a container's seccomp profile that does not allow them. Returns 0
/// or an errno.
int process_memory_refuse(void);
