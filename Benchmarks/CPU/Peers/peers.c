// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "peers.h"

#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>

int64_t peer_processor_time(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t now(void) { return peer_processor_time(); }

// Makes the compiler assume that the memory is read.
static inline void look(void *p) { __asm__ volatile("" : : "r"(p) : "memory"); }

int64_t peer_memcpy(uint8_t *base, size_t stride, size_t place, size_t pieces, size_t count, long operations) {
    int64_t begin = now();
    size_t piece = 0;
    for (long i = 0; i < operations; i++) {
        uint8_t *from = base + piece * stride;
        memcpy(from + place, from, count);
        look(from);
        if (++piece == pieces) piece = 0;
    }
    return now() - begin;
}

int64_t peer_memset(uint8_t *base, size_t stride, size_t pieces, size_t count, long operations) {
    int64_t begin = now();
    size_t piece = 0;
    for (long i = 0; i < operations; i++) {
        memset(base + piece * stride, 0x5a, count);
        look(base);
        if (++piece == pieces) piece = 0;
    }
    return now() - begin;
}

static void *isal(const char *name) {
    static void *library;
    if (library == NULL) library = dlopen("libisal.so.2", RTLD_NOW);
    return library == NULL ? NULL : dlsym(library, name);
}

static int64_t raid(const char *name, int targets, uint8_t *base, size_t stride, size_t place, size_t pieces, int sources,
                    size_t count, long operations) {
    int (*generate)(int, int, void **) = (int (*)(int, int, void **))isal(name);
    if (generate == NULL || sources > 32) return -1;
    int64_t begin = now();
    size_t piece = 0;
    for (long i = 0; i < operations; i++) {
        void *list[34];
        for (int k = 0; k < sources + targets; k++) list[k] = base + piece * stride + (size_t)k * place;
        if (generate(sources + targets, (int)count, list) != 0) return -1;
        look(base);
        if (++piece == pieces) piece = 0;
    }
    return now() - begin;
}

int64_t peer_isal_xor(uint8_t *base, size_t stride, size_t place, size_t pieces, int sources, size_t count, long operations) {
    return raid("xor_gen", 1, base, stride, place, pieces, sources, count, operations);
}

int64_t peer_isal_pq(uint8_t *base, size_t stride, size_t place, size_t pieces, int sources, size_t count, long operations) {
    return raid("pq_gen", 2, base, stride, place, pieces, sources, count, operations);
}

int64_t peer_isal_encode(uint8_t *base, size_t stride, size_t place, size_t pieces, int sources, size_t count,
                         long operations) {
    typedef void Prepare(int, int, uint8_t *, uint8_t *);
    typedef void Encode(int, int, int, uint8_t *, uint8_t **, uint8_t **);
    Prepare *prepare = (Prepare *)isal("ec_init_tables");
    Encode *encode = (Encode *)isal("ec_encode_data");
    if (prepare == NULL || encode == NULL || sources > 32) return -1;
    uint8_t matrix[64], tables[32 * 64], weight = 1;
    for (int k = 0; k < sources; k++) {
        matrix[k] = 1;
        matrix[sources + k] = weight;
        weight = (uint8_t)(weight << 1 ^ (weight & 0x80 ? 0x1d : 0));
    }
    // Once, outside the measured time, which favours the peer.
    prepare(sources, 2, matrix, tables);
    int64_t begin = now();
    size_t piece = 0;
    for (long i = 0; i < operations; i++) {
        uint8_t *list[34];
        for (int k = 0; k < sources + 2; k++) list[k] = base + piece * stride + (size_t)k * place;
        encode((int)count, sources, 2, tables, list, list + sources);
        look(base);
        if (++piece == pieces) piece = 0;
    }
    return now() - begin;
}

int64_t peer_isal_crc32c(uint8_t *base, size_t stride, size_t pieces, size_t count, long operations) {
    unsigned (*sum)(uint8_t *, int, unsigned) = (unsigned (*)(uint8_t *, int, unsigned))isal("crc32_iscsi");
    if (sum == NULL) return -1;
    int64_t begin = now();
    size_t piece = 0;
    for (long i = 0; i < operations; i++) {
        unsigned crc = sum(base + piece * stride, (int)count, ~0u);
        __asm__ volatile("" : : "r"(crc) : "memory");
        if (++piece == pieces) piece = 0;
    }
    return now() - begin;
}

int peer_pin(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return sched_setaffinity(0, sizeof set, &set) < 0 ? errno : 0;
}

uint64_t peer_spin(uint64_t rounds) {
    uint64_t value = rounds;
    for (uint64_t i = 0; i < rounds; i++) {
        value = value * 6364136223846793005u + 1442695040888963407u;
        look(&value);
    }
    return value;
}
