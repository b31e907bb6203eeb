// SPDX-License-Identifier: Apache-2.0
// The kernel's VFIO: groups, containers and devices (linux/vfio.h), and iommufd (linux/iommufd.h, declared here, because the header came with
// Linux 6.2). Every function returns a negative errno on failure, and no pointer is kept.
#ifndef CDMA_VFIO_H
#define CDMA_VFIO_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

// One call with an integer, or without an argument. A signal does not end it.
static inline int cdma_vfio_call(int fd, unsigned long request, unsigned long argument) {
    int result;
    do result = ioctl(fd, request, argument);
    while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : result;
}
static inline int cdma_vfio_pass(int fd, unsigned long request, void *argument) {
    return cdma_vfio_call(fd, request, (unsigned long)(uintptr_t)argument);
}

// Calls that fill a structure of variable length: `room` begins with argsz, which the caller has set to at most `count`.
enum cdma_vfio_question {
    CDMA_VFIO_DEVICE_INFO,
    CDMA_VFIO_REGION_INFO,
    CDMA_VFIO_IRQ_INFO,
    CDMA_VFIO_IOMMU_INFO,
    CDMA_VFIO_HOT_RESET_INFO,
};
static inline int cdma_vfio_ask(int fd, int question, void *room, size_t count) {
    static const unsigned long requests[] = {VFIO_DEVICE_GET_INFO, VFIO_DEVICE_GET_REGION_INFO, VFIO_DEVICE_GET_IRQ_INFO,
                                             VFIO_IOMMU_GET_INFO, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO};
    uint32_t size;
    if (question < 0 || question > CDMA_VFIO_HOT_RESET_INFO || count < sizeof size) return -EINVAL;
    memcpy(&size, room, sizeof size);
    // The kernel writes as much as argsz says.
    if (size > count) return -EINVAL;
    return cdma_vfio_pass(fd, requests[question], room);
}

// A device file, for reading and writing; not inherited.
static inline int cdma_vfio_open(const char *path) {
    int fd = open(path, O_RDWR | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

// Group and container.
static inline int cdma_vfio_version(int container) { return cdma_vfio_call(container, VFIO_GET_API_VERSION, 0); }
static inline int cdma_vfio_has(int container, int extension) {
    return cdma_vfio_call(container, VFIO_CHECK_EXTENSION, (unsigned long)extension);
}
static inline int cdma_vfio_group_status(int group, uint32_t *flags) {
    struct vfio_group_status status = {.argsz = sizeof status};
    int result = cdma_vfio_pass(group, VFIO_GROUP_GET_STATUS, &status);
    *flags = status.flags;
    return result;
}
static inline int cdma_vfio_join(int group, int container) {
    return cdma_vfio_pass(group, VFIO_GROUP_SET_CONTAINER, &container);
}
static inline int cdma_vfio_set_iommu(int container, int type) {
    return cdma_vfio_call(container, VFIO_SET_IOMMU, (unsigned long)type);
}
static inline int cdma_vfio_device(int group, const char *name) {
    return cdma_vfio_pass(group, VFIO_GROUP_GET_DEVICE_FD, (void *)(uintptr_t)name);
}
static inline int cdma_vfio_map(int container, uint64_t iova, uint64_t address, uint64_t count, bool reads, bool writes) {
    struct vfio_iommu_type1_dma_map map = {.argsz = sizeof map, .vaddr = address, .iova = iova, .size = count};
    map.flags = (reads ? VFIO_DMA_MAP_FLAG_READ : 0) | (writes ? VFIO_DMA_MAP_FLAG_WRITE : 0);
    return cdma_vfio_pass(container, VFIO_IOMMU_MAP_DMA, &map);
}
// `count` becomes what the kernel reports as unmapped.
static inline int cdma_vfio_unmap(int container, uint64_t iova, uint64_t *count) {
    struct vfio_iommu_type1_dma_unmap unmap = {.argsz = sizeof unmap, .iova = iova, .size = *count};
    int result = cdma_vfio_pass(container, VFIO_IOMMU_UNMAP_DMA, &unmap);
    *count = unmap.size;
    return result;
}

// A device.
static inline int cdma_vfio_reset(int device) { return cdma_vfio_call(device, VFIO_DEVICE_RESET, 0); }
// Resets everything behind the device's bridge; `groups` are the open groups of all devices there, 16 at most.
static inline int cdma_vfio_hot_reset(int device, const int32_t *groups, uint32_t count) {
    uint32_t words[3 + 16] = {0};
    if (count > 16) return -E2BIG;
    words[0] = (uint32_t)(sizeof(uint32_t) * (3 + count));
    words[2] = count;
    memcpy(words + 3, groups, count * sizeof *groups);
    return cdma_vfio_pass(device, VFIO_DEVICE_PCI_HOT_RESET, words);
}
// Action 0: the vectors from 0 on trigger `events`, -1 for none; as many as `count`, at most 2048. Action 1 masks one vector, action 2 unmasks it,
// action 3 switches all vectors of the index off.
static inline int cdma_vfio_interrupts(int device, uint32_t index, int action, const int32_t *events, uint32_t count) {
    // struct vfio_irq_set: argsz, flags, index, start, count; then the data.
    uint32_t words[5 + 2048] = {5 * sizeof(uint32_t), 0, index, 0, 1};
    switch (action) {
    case 0:
        if (count > 2048) return -E2BIG;
        words[0] += count * (uint32_t)sizeof *events;
        words[1] = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
        words[4] = count;
        memcpy(words + 5, events, count * sizeof *events);
        break;
    case 1: words[1] = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_MASK; break;
    case 2: words[1] = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK; break;
    default:
        words[1] = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER;
        words[4] = 0;
    }
    return cdma_vfio_pass(device, VFIO_DEVICE_SET_IRQS, words);
}
// One access of 1, 2, 4 or 8 bytes to a region by the device's descriptor.
static inline int cdma_vfio_read(int device, uint64_t offset, size_t width, uint64_t *value) {
    *value = 0;
    ssize_t n = pread(device, value, width > 8 ? 8 : width, (off_t)offset);
    if (n < 0) return -errno;
    return n == (ssize_t)width ? 0 : -EIO;
}
static inline int cdma_vfio_write(int device, uint64_t offset, size_t width, uint64_t value) {
    ssize_t n = pwrite(device, &value, width > 8 ? 8 : width, (off_t)offset);
    if (n < 0) return -errno;
    return n == (ssize_t)width ? 0 : -EIO;
}
// Registers, with exactly these permissions. A child process does not inherit them.
static inline int cdma_vfio_map_region(int device, uint64_t offset, size_t count, bool reads, bool writes, void **result) {
    void *p = mmap((void *)0, count, (reads ? PROT_READ : 0) | (writes ? PROT_WRITE : 0), MAP_SHARED, device, (off_t)offset);
    if (p == MAP_FAILED) return -errno;
    if (madvise(p, count, MADV_DONTFORK)) {
        int error = errno;
        munmap(p, count);
        return -error;
    }
    *result = p;
    return 0;
}

// iommufd, and devices by their character device: include/uapi/linux/iommufd.h of Linux 6.6, include/uapi/linux/vfio.h of the same.
#define CDMA_IOMMUFD(number) _IO(';', 0x80 + (number))
struct cdma_ioas_alloc {
    uint32_t size, flags, id;
};
struct cdma_iommu_destroy {
    uint32_t size, id;
};
struct cdma_ioas_ranges {
    uint32_t size, ioas, count, reserved;
    uint64_t ranges, alignment;
};
struct cdma_ioas_map {
    uint32_t size, flags, ioas, reserved;
    uint64_t address, length, iova;
};
struct cdma_ioas_unmap {
    uint32_t size, ioas;
    uint64_t iova, length;
};
struct cdma_vfio_bind_iommufd {
    uint32_t size, flags;
    int32_t iommufd;
    uint32_t id;
};
struct cdma_vfio_attach {
    uint32_t size, flags, pt;
};
_Static_assert(sizeof(struct cdma_ioas_alloc) == 12, "struct iommu_ioas_alloc");
_Static_assert(sizeof(struct cdma_iommu_destroy) == 8, "struct iommu_destroy");
_Static_assert(sizeof(struct cdma_ioas_ranges) == 32, "struct iommu_ioas_iova_ranges");
_Static_assert(sizeof(struct cdma_ioas_map) == 40, "struct iommu_ioas_map");
_Static_assert(sizeof(struct cdma_ioas_unmap) == 24, "struct iommu_ioas_unmap");
_Static_assert(sizeof(struct cdma_vfio_bind_iommufd) == 16, "struct vfio_device_bind_iommufd");
_Static_assert(sizeof(struct cdma_vfio_attach) == 12, "struct vfio_device_attach_iommufd_pt");

// The number of a new address space (IOAS).
static inline int cdma_ioas_make(int iommufd, uint32_t *id) {
    struct cdma_ioas_alloc command = {.size = sizeof command};
    int result = cdma_vfio_pass(iommufd, CDMA_IOMMUFD(1), &command);
    *id = command.id;
    return result;
}
static inline int cdma_iommu_destroy_object(int iommufd, uint32_t id) {
    struct cdma_iommu_destroy command = {sizeof command, id};
    return cdma_vfio_pass(iommufd, CDMA_IOMMUFD(0), &command);
}
// Pairs of first and last address, room for `*count` of them. `*count` becomes how many there are: more than fit with -EMSGSIZE.
static inline int cdma_ioas_get_ranges(int iommufd, uint32_t ioas, uint64_t *pairs, uint32_t *count, uint64_t *alignment) {
    struct cdma_ioas_ranges command = {.size = sizeof command, .ioas = ioas, .count = *count, .ranges = (uintptr_t)pairs};
    int result = cdma_vfio_pass(iommufd, CDMA_IOMMUFD(4), &command);
    *count = command.count;
    *alignment = command.alignment;
    return result;
}
// IOMMU_IOAS_MAP_FIXED_IOVA 1, IOMMU_IOAS_MAP_WRITEABLE 2, IOMMU_IOAS_MAP_READABLE 4.
static inline int cdma_ioas_map_memory(int iommufd, uint32_t ioas, uint64_t iova, uint64_t address, uint64_t count, bool reads,
                                       bool writes) {
    struct cdma_ioas_map command = {.size = sizeof command, .ioas = ioas, .address = address, .length = count, .iova = iova};
    command.flags = 1u | (writes ? 2u : 0) | (reads ? 4u : 0);
    return cdma_vfio_pass(iommufd, CDMA_IOMMUFD(5), &command);
}
static inline int cdma_ioas_unmap_memory(int iommufd, uint32_t ioas, uint64_t iova, uint64_t *count) {
    struct cdma_ioas_unmap command = {.size = sizeof command, .ioas = ioas, .iova = iova, .length = *count};
    int result = cdma_vfio_pass(iommufd, CDMA_IOMMUFD(6), &command);
    *count = command.length;
    return result;
}
// VFIO_DEVICE_BIND_IOMMUFD, VFIO_DEVICE_ATTACH_IOMMUFD_PT, VFIO_DEVICE_DETACH_IOMMUFD_PT: VFIO_BASE + 18, 19, 20.
static inline int cdma_vfio_bind(int device, int iommufd) {
    struct cdma_vfio_bind_iommufd command = {.size = sizeof command, .iommufd = iommufd};
    return cdma_vfio_pass(device, _IO(VFIO_TYPE, VFIO_BASE + 18), &command);
}
static inline int cdma_vfio_attach_to(int device, uint32_t ioas) {
    struct cdma_vfio_attach command = {.size = sizeof command, .pt = ioas};
    return cdma_vfio_pass(device, _IO(VFIO_TYPE, VFIO_BASE + 19), &command);
}

// Writes a setting of sysfs: all of it by one write(2), which is what its kernel's function sees.
static inline int cdma_write_setting(const char *path, const void *text, size_t count) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return -errno;
    ssize_t n = write(fd, text, count);
    int error = n < 0 ? errno : n == (ssize_t)count ? 0 : EIO;
    if (close(fd) && !error) error = errno;
    return -error;
}

// The names in a folder, each with a zero behind it: returns the bytes written. A folder whose names need more is an error.
static inline int64_t cdma_folder_names(const char *path, char *text, size_t capacity) {
    DIR *folder = opendir(path);
    if (!folder) return -errno;
    size_t used = 0;
    int64_t failure = 0;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(folder);
        if (!entry) {
            failure = -errno;
            break;
        }
        if (entry->d_name[0] == '.') continue;
        size_t length = strlen(entry->d_name) + 1;
        if (length > capacity - used) {
            failure = -E2BIG;
            break;
        }
        memcpy(text + used, entry->d_name, length);
        used += length;
    }
    if (closedir(folder) && !failure) failure = -errno;
    return failure ? failure : (int64_t)used;
}

#endif
