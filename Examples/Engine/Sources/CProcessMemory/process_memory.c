// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "process_memory.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

// The process ID is read in each call: after fork(2), a stored one would name the parent's memory.

ssize_t process_memory_write(const struct iovec *sources, size_t source_count, const struct iovec *targets, size_t target_count) {
    ssize_t moved = process_vm_writev(getpid(), sources, source_count, targets, target_count, 0);
    return moved < 0 ? -errno : moved;
}

ssize_t process_memory_read(const struct iovec *sources, size_t source_count, const struct iovec *targets, size_t target_count) {
    ssize_t moved = process_vm_readv(getpid(), targets, target_count, sources, source_count, 0);
    return moved < 0 ? -errno : moved;
}

int process_memory_refuse(void) {
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_writev, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof program / sizeof *program, program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter)) return errno;
    return 0;
}
