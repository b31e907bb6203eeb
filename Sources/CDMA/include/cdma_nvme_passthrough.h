// SPDX-License-Identifier: Apache-2.0
// Commands to an NVMe namespace through the kernel's driver: include/uapi/linux/nvme_ioctl.h.
#ifndef CDMA_NVME_PASSTHROUGH_H
#define CDMA_NVME_PASSTHROUGH_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <unistd.h>

// struct nvme_uring_cmd, and struct nvme_passthru_cmd, whose last word but one is named otherwise.
struct cdma_nvme_command {
    uint8_t opcode, flags;
    uint16_t reserved;
    uint32_t namespace_id, cdw2, cdw3;
    uint64_t metadata, address;
    uint32_t metadata_length, data_length, cdw10, cdw11, cdw12, cdw13, cdw14, cdw15, timeout, reserved2;
};
_Static_assert(sizeof(struct cdma_nvme_command) == 72, "struct nvme_uring_cmd has 72 bytes");

// NVME_URING_CMD_IO
static inline uint32_t cdma_nvme_uring_operation(void) {
    return (uint32_t)_IOWR('N', 0x80, struct cdma_nvme_command);
}

struct cdma_nvme_namespace {
    uint32_t identifier;
    uint32_t block_shift;
    uint64_t blocks;
};

// Asks the driver which namespace `fd` is (NVME_IOCTL_ID), and the controller how long its blocks are: NVM Command Set
// Specification, "Identify Namespace data structure". 0, or a negative errno.
static inline int cdma_nvme_identify(int fd, struct cdma_nvme_namespace *result) {
    int identifier = ioctl(fd, _IO('N', 0x40));
    if (identifier <= 0) return identifier < 0 ? -errno : -ENODEV;
    static _Thread_local uint8_t page[4096] __attribute__((aligned(4096)));
    struct cdma_nvme_command command = {.opcode = 6, .namespace_id = (uint32_t)identifier};
    command.address = (uint64_t)(uintptr_t)page;
    command.data_length = sizeof page;
    // NVME_IOCTL_ADMIN_CMD; a positive answer is the controller's status.
    int status = ioctl(fd, _IOWR('N', 0x41, struct cdma_nvme_command), &command);
    if (status) return status < 0 ? -errno : -EIO;
    uint32_t format = page[26] & 15u;
    result->identifier = (uint32_t)identifier;
    result->block_shift = page[128 + 4 * format + 2];
    result->blocks = 0;
    for (int byte = 7; byte >= 0; byte--) result->blocks = result->blocks << 8 | page[byte];
    return result->block_shift >= 9 && result->block_shift <= 20 ? 0 : -EPROTO;
}

#endif
