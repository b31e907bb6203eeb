// SPDX-License-Identifier: Apache-2.0
// A source of its own, because <signal.h> and <sys/wait.h> declare different things with and without _GNU_SOURCE, and a Swift file that sees
// them through two modules is refused. All of it is on cold paths.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "cdma_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// From the child's beginning to its program: only calls that are allowed between fork and exec. Writes an errno to `report` where it fails.
static void cdma_child_become(const char *path, char *const *arguments, char *const *environment, int output,
                                     const int *kept, int count, pid_t parent, int report) {
    sigset_t none;
    int error = 0;
    sigemptyset(&none);
    // A signal that is ignored stays so over exec, and so does the mask.
    signal(SIGPIPE, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    if (sigprocmask(SIG_SETMASK, &none, (sigset_t *)0)) goto failed;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)) goto failed;
    // The parent may have ended before that was set.
    if (getppid() != parent) {
        errno = ESRCH;
        goto failed;
    }
    // A terminal's Ctrl-C is for the parent, which ends its child.
    if (setpgid(0, 0)) goto failed;
    int nothing = open("/dev/null", O_RDONLY);
    if (nothing < 0) goto failed;
    if (dup2(nothing, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0) goto failed;
    // Everything else ends with exec: CLOSE_RANGE_CLOEXEC is 4 (Linux 5.11); before, one by one.
#ifdef SYS_close_range
    if (syscall(SYS_close_range, 3u, ~0u, 4u))
#endif
    {
        long most = sysconf(_SC_OPEN_MAX);
        for (int fd = 3; fd < (most < 0 || most > 65536 ? 65536 : most); fd++) fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    for (int i = 0; i < count; i++)
        if (fcntl(kept[i], F_SETFD, 0)) goto failed;
    execve(path, arguments, environment);
failed:
    error = errno;
    // Where that fails too, the parent sees the end of the pipe, and then the exit code.
    if (write(report, &error, sizeof error) < 0) _exit(126);
    _exit(127);
}

int cdma_child_start(const char *path, char *const *arguments, char *const *environment, int output,
                                   const int *kept, int count) {
    int report[2];
    if (pipe2(report, O_CLOEXEC)) return -errno;
    pid_t parent = getpid();
    pid_t child = fork();
    if (child < 0) {
        int error = errno;
        close(report[0]), close(report[1]);
        return -error;
    }
    if (child == 0) cdma_child_become(path, arguments, environment, output, kept, count, parent, report[1]);
    close(report[1]);
    int error = 0;
    ssize_t n;
    do {
        n = read(report[0], &error, sizeof error);
    } while (n < 0 && errno == EINTR);
    close(report[0]);
    if (n != (ssize_t)sizeof error) return (int)child;
    // It has ended, or is about to.
    int status;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    return -(error ? error : ECHILD);
}

int cdma_child_await(int child) {
    siginfo_t facts;
    int answer;
    do {
        answer = waitid(P_PID, (id_t)child, &facts, WEXITED | WNOWAIT);
    } while (answer && errno == EINTR);
    return answer ? -errno : 0;
}
int cdma_child_take(int child) {
    int status;
    pid_t answer;
    do {
        answer = waitpid(child, &status, 0);
    } while (answer < 0 && errno == EINTR);
    if (answer < 0) return -errno;
    return WIFSIGNALED(status) ? 256 + WTERMSIG(status) : WEXITSTATUS(status);
}
int cdma_child_signal(int child, int signal) { return kill(child, signal) ? -errno : 0; }

int cdma_pipe(int *ends) { return pipe2(ends, O_CLOEXEC) ? -errno : 0; }
int cdma_socket_pair(int *ends) {
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) ? -errno : 0;
}
int64_t cdma_pipe_read(int fd, void *bytes, size_t count) {
    ssize_t n;
    do {
        n = read(fd, bytes, count);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}
int cdma_socket_wait(int fd, bool writes, int64_t nanoseconds) {
    struct {
        int32_t fd;
        int16_t events, ready;
    } set = {fd, (int16_t)(1 | (writes ? 4 : 0)), 0};
    struct {
        int64_t seconds, nanoseconds;
    } limit = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    long ready = syscall(SYS_ppoll, &set, 1, &limit, (void *)0, 0);
    if (ready < 0) return errno == EINTR ? 0 : -errno;
    return ready > 0;
}

int cdma_replace_pages(void *at, size_t length, int fd, uint64_t offset) {
    void *p = mmap(at, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, (off_t)offset);
    if (p == MAP_FAILED) return -errno;
    return madvise(p, length, MADV_DONTFORK) ? -errno : 0;
}
int cdma_put_file(int fd, const void *bytes, size_t count, uint64_t offset) {
    const char *from = (const char *)bytes;
    while (count) {
        ssize_t n = pwrite(fd, from, count, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        if (n == 0) return -ENOSPC;
        from += n, offset += (uint64_t)n, count -= (size_t)n;
    }
    return 0;
}
