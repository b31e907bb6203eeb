// SPDX-License-Identifier: Apache-2.0
// The baseline: submit + device step + poll on a ring in shared memory, in C. 64-byte entries, a producer and a consumer index,
// a completion word in each entry. The device's step is part of the operation in every variant.
#ifndef RING_H
#define RING_H

#include <stdbool.h>
#include <stdint.h>

struct ring_entry {
    uint8_t kind;
    uint8_t flags;
    uint16_t reserved;
    uint32_t tag;
    uint64_t source;
    uint64_t destination;
    uint64_t count;
    uint64_t value;
    uint64_t pad[2];
    uint32_t done;
    uint32_t done_tag;
};

struct ring {
    struct ring_entry *entries;
    uint32_t mask, head, tail, issued, device;
    volatile uint32_t *doorbell;
};

// Runs operations on a ring of 32 entries; returns the sum of the completed tags.
uint64_t counted_ring(uint64_t operations);

#endif
