// SPDX-License-Identifier: Apache-2.0
// Files for the copier: what a path is, where its data lies, and the calls of Linux that the C library hides or lacks. Every
// function returns 0 or a value on success and a negative errno on failure, so that no caller reads errno late.
#ifndef CDMA_STORAGE_H
#define CDMA_STORAGE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <dirent.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cdma_statx.h"

// Values of the kernel's UAPI that older C libraries, or feature macros, hide.
#define CDMA_SEEK_DATA 3
#define CDMA_SEEK_HOLE 4
#define CDMA_O_DIRECT O_DIRECT
#define CDMA_SPLICE_NONBLOCK 2u
#define CDMA_SPLICE_MORE 4u
#define CDMA_FALLOC_KEEP_SIZE 1
#define CDMA_FALLOC_PUNCH_HOLE 2
#define CDMA_FALLOC_ZERO_RANGE 16
#ifndef SYS_cachestat
#define CDMA_SYS_CACHESTAT 451 // the same on every architecture: include/uapi/asm-generic/unistd.h
#else
#define CDMA_SYS_CACHESTAT SYS_cachestat
#endif

// The attributes of a file.
struct cdma_storage_facts {
    uint64_t size, blocks, inode, device, special;
    int64_t modified_seconds, accessed_seconds, changed_seconds;
    uint32_t modified_nanoseconds, accessed_nanoseconds, changed_nanoseconds;
    uint32_t mode, owner, group, links, block_size;
    uint32_t direct_memory_alignment, direct_offset_alignment; // 0 where the kernel does not say
    uint64_t attributes;                                       // CDMA_STATX_IMMUTABLE, CDMA_STATX_APPEND
};

static inline uint64_t cdma_device_number(uint32_t major, uint32_t minor) { return (uint64_t)major << 32 | minor; }

// The file open as `fd`, or at `path` where `fd` is AT_FDCWD; a symbolic link itself where `follow` is false.
static inline int cdma_storage_look(int fd, const char *path, bool follow, struct cdma_storage_facts *facts) {
    struct cdma_statx s;
    int refused = cdma_statx_file(fd, path, follow ? 0 : AT_SYMLINK_NOFOLLOW, &s);
    if (refused) return refused;
    facts->size = s.size, facts->blocks = s.blocks, facts->inode = s.inode;
    facts->device = cdma_device_number(s.device_major, s.device_minor);
    facts->special = cdma_device_number(s.special_major, s.special_minor);
    facts->modified_seconds = s.modified.seconds, facts->modified_nanoseconds = s.modified.nanoseconds;
    facts->accessed_seconds = s.accessed.seconds, facts->accessed_nanoseconds = s.accessed.nanoseconds;
    facts->changed_seconds = s.changed.seconds, facts->changed_nanoseconds = s.changed.nanoseconds;
    facts->mode = s.mode, facts->owner = s.user, facts->group = s.group, facts->links = s.links;
    facts->block_size = s.block_size;
    facts->direct_memory_alignment = s.direct_memory_alignment;
    facts->direct_offset_alignment = s.direct_offset_alignment;
    facts->attributes = s.attributes & s.attributes_mask;
    return 0;
}

static inline int cdma_open(int directory, const char *path, int flags, uint32_t mode) {
    int fd = openat(directory, path, flags | O_CLOEXEC, (mode_t)mode);
    return fd < 0 ? -errno : fd;
}
// Opens the file itself, of any kind, without accessing it: O_PATH. The call does not block, and no device is opened.
static inline int cdma_open_path(const char *path) { return cdma_open(AT_FDCWD, path, O_PATH, 0); }
// Whether `fd` is open for reading, or for writing; 0, or a negative errno.
static inline int cdma_is_open_for(int fd, bool write) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) return -errno;
    int mode = flags & O_ACCMODE;
    if (flags & O_PATH || mode == (write ? O_RDONLY : O_WRONLY)) return -EBADF;
    return 0;
}
// A file without a name in `directory`, for writing: O_TMPFILE.
static inline int cdma_open_unnamed(int directory) { return cdma_open(directory, ".", O_TMPFILE | O_RDWR, 0600); }
// The path of a process's own descriptor, which linkat(2) accepts without privileges (open(2), O_TMPFILE).
#define CDMA_FD_PATH 32
static inline void cdma_descriptor_path(int fd, char *path) { snprintf(path, CDMA_FD_PATH, "/proc/self/fd/%d", fd); }
// Whether a file without a name can be given one: not without /proc.
static inline bool cdma_can_name(int fd) {
    char path[CDMA_FD_PATH];
    struct stat mine, found;
    cdma_descriptor_path(fd, path);
    return !fstat(fd, &mine) && !stat(path, &found) && mine.st_ino == found.st_ino && mine.st_dev == found.st_dev;
}
// Gives it a name that is free.
static inline int cdma_name_file(int fd, int directory, const char *name) {
    char path[CDMA_FD_PATH];
    cdma_descriptor_path(fd, path);
    return linkat(AT_FDCWD, path, directory, name, AT_SYMLINK_FOLLOW) ? -errno : 0;
}
// Opens the file behind `fd` again, with other flags: turns a descriptor with O_PATH into a readable one. -ENOENT without
// /proc.
static inline int cdma_open_again(int fd, int flags) {
    char path[CDMA_FD_PATH];
    cdma_descriptor_path(fd, path);
    return cdma_open(AT_FDCWD, path, flags, 0);
}
static inline int cdma_duplicate(int fd) {
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return copy < 0 ? -errno : copy;
}
// Closes a duplicate of the descriptor and returns the error that close(2) reports: a network or FUSE file system flushes at each close. The
// file stays open by `fd`, and so does the flock(2) lock, which belongs to the open file description. Returns 0, or a negative errno.
static inline int cdma_close_copy(int fd) {
    int copy = cdma_duplicate(fd);
    if (copy < 0) return copy;
    return close(copy) ? -errno : 0;
}
// Whether this process has this access to the path (R_OK, W_OK), with its effective user and groups.
static inline int cdma_may_access(const char *path, int mode) {
    return faccessat(AT_FDCWD, path, mode, AT_EACCESS) ? -errno : 0;
}
static inline int cdma_status_flags(int fd) {
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 ? -errno : flags;
}

static inline int cdma_set_status_flags(int fd, int flags) { return fcntl(fd, F_SETFL, flags) ? -errno : 0; }
// An advisory lock on the whole file, or -EWOULDBLOCK where another process has one. It is released with the last descriptor.
static inline int cdma_lock_file(int fd) { return flock(fd, LOCK_EX | LOCK_NB) ? -errno : 0; }
static inline void cdma_unlock_file(int fd) { flock(fd, LOCK_UN); }
// Takes a write lease, which the kernel grants only while no other open file description refers to the file (fcntl(2), F_SETLEASE); with
// `take` false, releases it. Returns 0, or a negative errno.
static inline int cdma_lease(int fd, bool take) { return fcntl(fd, F_SETLEASE, take ? F_WRLCK : F_UNLCK) ? -errno : 0; }

// Reads and writes that continue after a signal and after a short count. A negative position means the current one. Returns the
// number of bytes moved, which is short only at the end of the file.
static inline int64_t cdma_read_all(int fd, void *bytes, size_t count, int64_t position) {
    size_t moved = 0;
    while (moved < count) {
        ssize_t n = position < 0 ? read(fd, (char *)bytes + moved, count - moved)
                                 : pread(fd, (char *)bytes + moved, count - moved, (off_t)(position + (int64_t)moved));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        if (n == 0) break;
        moved += (size_t)n;
    }
    return (int64_t)moved;
}
static inline int64_t cdma_write_all(int fd, const void *bytes, size_t count, int64_t position) {
    size_t moved = 0;
    while (moved < count) {
        ssize_t n = position < 0
                        ? write(fd, (const char *)bytes + moved, count - moved)
                        : pwrite(fd, (const char *)bytes + moved, count - moved, (off_t)(position + (int64_t)moved));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        if (n == 0) return -EIO;
        moved += (size_t)n;
    }
    return (int64_t)moved;
}

// Writes at the end, for a file opened with O_APPEND, otherwise at the current position. `moved` is the number of bytes
// written, also where the call fails.
static inline int cdma_append(int fd, const void *bytes, size_t count, uint64_t *moved) {
    *moved = 0;
    while (*moved < count) {
        ssize_t n = write(fd, (const char *)bytes + *moved, count - *moved);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        if (n == 0) return -EIO;
        *moved += (uint64_t)n;
    }
    return 0;
}

static inline int64_t cdma_seek(int fd, int64_t offset, int whence) {
    int64_t place = lseek(fd, (off_t)offset, whence);
    return place < 0 ? -errno : place;
}
static inline int cdma_truncate(int fd, uint64_t size) { return ftruncate(fd, (off_t)size) ? -errno : 0; }
static inline int cdma_fallocate(int fd, int mode, uint64_t offset, uint64_t count) {
    return fallocate(fd, mode, (off_t)offset, (off_t)count) ? -errno : 0;
}
static inline int cdma_fsync(int fd) { return fsync(fd) ? -errno : 0; }
static inline int cdma_fdatasync(int fd) { return fdatasync(fd) ? -errno : 0; }
// Flushes the whole file system that contains `fd`; since Linux 5.8 it also reports write errors.
static inline int cdma_syncfs(int fd) { return syncfs(fd) ? -errno : 0; }
// Waits for running writeback of the file, and reports its errors: sync_file_range(2), SYNC_FILE_RANGE_WAIT_BEFORE. Does not
// flush the device.
static inline int cdma_written(int fd) { return sync_file_range(fd, 0, 0, 1) ? -errno : 0; }
// Drops clean pages of the range from the page cache: POSIX_FADV_DONTNEED.
static inline int cdma_drop_cache(int fd, uint64_t offset, uint64_t count) {
    return -posix_fadvise(fd, (off_t)offset, (off_t)count, POSIX_FADV_DONTNEED);
}
static inline int cdma_advise_sequential(int fd) { return -posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL); }
static inline int cdma_advise_random(int fd) { return -posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM); }

// Copies in the kernel, from one file's position to another's. Returns bytes, 0 at the end.
static inline int64_t cdma_copy_range(int from, uint64_t source, int to, uint64_t target, size_t count) {
    int64_t in = (int64_t)source, out = (int64_t)target;
    int64_t n = syscall(SYS_copy_file_range, from, &in, to, &out, count, 0u);
    return n < 0 ? -errno : n;
}
// FICLONE of linux/fs.h: both files share their blocks afterwards.
static inline int cdma_clone(int to, int from) { return ioctl(to, _IOW(0x94, 9, int), from) ? -errno : 0; }

// A negative position means the current one; at least one side is a pipe.
static inline int64_t cdma_splice(int from, int64_t source, int to, int64_t target, size_t count, unsigned flags) {
    int64_t in = source, out = target;
    int64_t n = syscall(SYS_splice, from, source < 0 ? 0 : &in, to, target < 0 ? 0 : &out, count, flags);
    return n < 0 ? -errno : n;
}
// Waits until `fd` can be read or written. 1 where it can (or has failed, which the next call reports), 0 on a timeout.
static inline int cdma_poll(int fd, bool write, int milliseconds) {
    struct pollfd p = {.fd = fd, .events = write ? POLLOUT : POLLIN};
    int n = poll(&p, 1, milliseconds);
    if (n < 0) return errno == EINTR ? 0 : -errno;
    return n;
}

// The number of pages of a range in the page cache: cachestat(2), Linux 6.5. `dirty` includes those under writeback.
static inline int cdma_cache_state(int fd, uint64_t offset, uint64_t count, uint64_t *cached, uint64_t *dirty) {
    struct { uint64_t offset, count; } range = {offset, count};
    struct { uint64_t cached, dirty, writeback, evicted, recently; } state = {0};
    if (syscall(CDMA_SYS_CACHESTAT, fd, &range, &state, 0u)) return -errno;
    *cached = state.cached;
    *dirty = state.dirty + state.writeback;
    return 0;
}
// The same with mincore(2), for older kernels: for a range of at most 256 MiB that begins on a page. Returns pages.
static inline int64_t cdma_cached_pages(int fd, uint64_t offset, size_t count) {
    if (count == 0 || count > (256u << 20)) return -EINVAL;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = (count + page - 1) / page;
    void *map = mmap(0, count, PROT_READ, MAP_SHARED, fd, (off_t)offset);
    if (map == MAP_FAILED) return -errno;
    unsigned char *present = (unsigned char *)malloc(pages);
    int64_t result = present ? 0 : -ENOMEM;
    if (present && mincore(map, count, present)) result = -errno;
    for (size_t i = 0; present && result >= 0 && i < pages; i++) result += present[i] & 1;
    free(present);
    munmap(map, count);
    return result;
}

// Block devices: linux/fs.h.
static inline int cdma_block_size(int fd, uint64_t *bytes) { return ioctl(fd, _IOR(0x12, 114, size_t), bytes) ? -errno : 0; }
static inline int cdma_block_sector(int fd, uint32_t *bytes) {
    int size = 0;
    if (ioctl(fd, _IO(0x12, 104), &size)) return -errno;
    *bytes = (uint32_t)size;
    return 0;
}

// A number that changes with the medium, where the kernel has one: BLKGETDISKSEQ, Linux 5.15.
static inline int cdma_block_sequence(int fd, uint64_t *number) { return ioctl(fd, _IOR(0x12, 128, uint64_t), number) ? -errno : 0; }

// For the file system that contains `fd`: bytes available to users, and its kind (the magic number of statfs(2)).
struct cdma_room {
    uint64_t available, kind, fragment;
};
static inline int cdma_storage_room(int fd, struct cdma_room *room) {
    struct statfs s;
    if (fstatfs(fd, &s)) return -errno;
    room->kind = (uint64_t)(uint32_t)s.f_type;
    room->fragment = (uint64_t)s.f_bsize;
    uint64_t bytes;
    room->available = __builtin_mul_overflow((uint64_t)s.f_bavail, (uint64_t)s.f_bsize, &bytes) ? UINT64_MAX : bytes;
    return 0;
}

static inline int cdma_rename(int directory, const char *from, const char *to) {
    return renameat(directory, from, directory, to) ? -errno : 0;
}
static inline int cdma_remove(int directory, const char *name) { return unlinkat(directory, name, 0) ? -errno : 0; }
// Another name for the file at `from`, which is not followed if it is a link.
static inline int cdma_link(const char *from, int directory, const char *to) {
    return linkat(AT_FDCWD, from, directory, to, 0) ? -errno : 0;
}
static inline int cdma_make_folder(const char *path, uint32_t mode) { return mkdir(path, (mode_t)mode) ? -errno : 0; }
// The largest file that this process may write; UINT64_MAX for no limit: RLIMIT_FSIZE, struct rlimit64 of linux/resource.h.
static inline uint64_t cdma_largest_file(void) {
    struct { uint64_t now, most; } limit;
    return syscall(SYS_prlimit64, 0, 1, (void *)0, &limit) ? UINT64_MAX : limit.now;
}
static inline int cdma_change_mode(int fd, uint32_t mode) { return fchmod(fd, (mode_t)mode) ? -errno : 0; }
static inline int cdma_change_owner(int fd, uint32_t owner, uint32_t group) {
    return fchown(fd, (uid_t)owner, (gid_t)group) ? -errno : 0;
}
static inline int cdma_change_times(int fd, int64_t accessed, uint32_t accessed_ns, int64_t modified, uint32_t modified_ns) {
    struct timespec t[2] = {{accessed, (long)accessed_ns}, {modified, (long)modified_ns}};
    return futimens(fd, t) ? -errno : 0;
}
static inline uint32_t cdma_effective_user(void) { return (uint32_t)geteuid(); }

// The real path of an existing file, at most `capacity` bytes with the terminator. Length, or a negative errno.
static inline int64_t cdma_real_path(const char *path, char *result, size_t capacity) {
    char *real = realpath(path, 0);
    if (!real) return -errno;
    size_t length = strlen(real);
    if (length < capacity) memcpy(result, real, length + 1);
    free(real);
    return length < capacity ? (int64_t)length : -ENAMETOOLONG;
}
static inline int64_t cdma_read_link(const char *path, char *result, size_t capacity) {
    ssize_t n = readlink(path, result, capacity);
    return n < 0 ? -errno : n;
}

// Extended attributes, by descriptor. Lengths, or a negative errno.
static inline int64_t cdma_attribute_names(int fd, char *names, size_t capacity) {
    int64_t n = syscall(SYS_flistxattr, fd, names, capacity);
    return n < 0 ? -errno : n;
}
static inline int64_t cdma_attribute(int fd, const char *name, void *value, size_t capacity) {
    int64_t n = syscall(SYS_fgetxattr, fd, name, value, capacity);
    return n < 0 ? -errno : n;
}
static inline int cdma_remove_attribute(int fd, const char *name) { return syscall(SYS_fremovexattr, fd, name) ? -errno : 0; }
static inline int cdma_set_attribute(int fd, const char *name, const void *value, size_t count) {
    return syscall(SYS_fsetxattr, fd, name, value, count, 0) ? -errno : 0;
}

// One pread(2), of the bytes that are available; repeated after a signal.
static inline int64_t cdma_read_at(int fd, void *bytes, size_t count, uint64_t position) {
    ssize_t n;
    do n = pread(fd, bytes, count, (off_t)position);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}
// One read of the available bytes; repeated after a signal.
static inline int64_t cdma_read_some(int fd, void *bytes, size_t count) {
    ssize_t n;
    do n = read(fd, bytes, count);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

// Random bytes for names of temporary files.
static inline uint64_t cdma_random(void) {
    uint64_t value = 0;
    if (syscall(SYS_getrandom, &value, sizeof value, 0u) != sizeof value) {
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        value = (uint64_t)t.tv_nsec * 0x9e3779b97f4a7c15u ^ (uint64_t)getpid() << 32;
    }
    return value;
}

// The C library's text for an error number; `text` has at least 64 bytes.
static inline void cdma_error_text(int error, char *text, size_t capacity) {
    const char *found = strerror(error < 0 ? -error : error);
    snprintf(text, capacity, "%s", found);
}

#endif
