// SPDX-License-Identifier: Apache-2.0
#include "ring.h"

#include <stdlib.h>
#include <string.h>

static inline bool ring_submit(struct ring *r, uint64_t source, uint64_t destination, uint64_t count, uint32_t tag) {
    if (r->tail - r->head > r->mask) return false;
    struct ring_entry *e = &r->entries[r->tail & r->mask];
    e->kind = 0;
    e->flags = 0;
    e->tag = tag;
    e->source = source;
    e->destination = destination;
    e->count = count;
    e->value = 0;
    r->tail++;
    return true;
}

static inline void ring_issue(struct ring *r) {
    __atomic_store_n(r->doorbell, r->tail, __ATOMIC_RELEASE);
}

static inline void ring_device_step(struct ring *r) {
    if (r->device == __atomic_load_n(r->doorbell, __ATOMIC_ACQUIRE)) return;
    struct ring_entry *e = &r->entries[r->device & r->mask];
    e->done_tag = e->tag;
    r->device++;
    __atomic_store_n(&e->done, r->device, __ATOMIC_RELEASE);
}

static inline bool ring_poll(struct ring *r, uint32_t *tag) {
    struct ring_entry *e = &r->entries[r->head & r->mask];
    if (__atomic_load_n(&e->done, __ATOMIC_ACQUIRE) != r->head + 1) return false;
    *tag = e->done_tag;
    r->head++;
    return true;
}

static uint64_t ring_run(struct ring *r, uint64_t operations) {
    uint64_t sum = 0;
    uint32_t tag = 0;
    for (uint64_t i = 0; i < operations; i++) {
        ring_submit(r, 0x1000 + i, 0x8000 + i, 64, (uint32_t)i);
        ring_issue(r);
        ring_device_step(r);
        if (ring_poll(r, &tag)) sum += tag;
    }
    return sum;
}

uint64_t counted_ring(uint64_t operations) {
    struct ring ring = {.mask = 31};
    ring.entries = aligned_alloc(64, 32 * sizeof(struct ring_entry));
    ring.doorbell = aligned_alloc(64, 64);
    if (!ring.entries || !ring.doorbell) return 0;
    memset(ring.entries, 0, 32 * sizeof(struct ring_entry));
    *ring.doorbell = 0;
    uint64_t sum = ring_run(&ring, operations);
    free(ring.entries);
    free((void *)ring.doorbell);
    return sum;
}
