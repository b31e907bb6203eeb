// SPDX-License-Identifier: Apache-2.0
// statx(2) with the kernel's own structure: the C library's has no alignments for direct transfers before glibc 2.37, and differs
// between C libraries.
#ifndef CDMA_STATX_H
#define CDMA_STATX_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

// include/uapi/linux/stat.h and fcntl.h
#define CDMA_AT_EMPTY_PATH 0x1000
#define CDMA_STATX_BASIC 0x7ffu
#define CDMA_STATX_DIOALIGN 0x2000u
#define CDMA_STATX_IMMUTABLE 0x10
#define CDMA_STATX_APPEND 0x20

struct cdma_statx_time {
    int64_t seconds;
    uint32_t nanoseconds;
    int32_t reserved;
};
struct cdma_statx {
    uint32_t mask, block_size;
    uint64_t attributes;
    uint32_t links, user, group;
    uint16_t mode, reserved;
    uint64_t inode, size, blocks, attributes_mask;
    struct cdma_statx_time accessed, born, changed, modified;
    // For the device that the file is, and for the one that contains it.
    uint32_t special_major, special_minor, device_major, device_minor;
    uint64_t mount;
    uint32_t direct_memory_alignment, direct_offset_alignment;
    uint64_t more[12];
};
_Static_assert(sizeof(struct cdma_statx) == 256, "struct statx has 256 bytes");
_Static_assert(offsetof(struct cdma_statx, accessed) == 64, "stx_atime is at 64");
_Static_assert(offsetof(struct cdma_statx, special_major) == 128, "stx_rdev_major is at 128");
_Static_assert(offsetof(struct cdma_statx, direct_memory_alignment) == 152, "stx_dio_mem_align is at 152");

// The file open as `fd` where the path is empty, otherwise the file at `path`. Alignments are 0 where the kernel does not
// report them. 0, or a negative errno.
static inline int cdma_statx_file(int fd, const char *path, int flags, struct cdma_statx *result) {
    if (!*path) flags |= CDMA_AT_EMPTY_PATH;
    if (syscall(SYS_statx, fd, path, flags, CDMA_STATX_BASIC | CDMA_STATX_DIOALIGN, result)) return -errno;
    if (!(result->mask & CDMA_STATX_DIOALIGN)) result->direct_memory_alignment = result->direct_offset_alignment = 0;
    return 0;
}

#endif
