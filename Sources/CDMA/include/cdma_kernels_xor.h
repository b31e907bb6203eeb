// SPDX-License-Identifier: Apache-2.0
// XOR of any number of sources, and the check whether it is zero.
#ifndef CDMA_KERNELS_XOR_H
#define CDMA_KERNELS_XOR_H

#include "cdma_kernels_cpu.h"

// A segment of an engine's operand list.
struct cdma_list_segment {
    uint64_t address, count;
};
#define CDMA_LIST_SOURCES 32u

// The destination may be exactly one of the sources: every byte is read before it is written.
CDMA_BODY void cdma_xor_body(void *to, const void *const *from, unsigned sources, size_t count, bool stream) {
    uint8_t *d = (uint8_t *)to;
    size_t at = 0;
    if (stream) {
        size_t head = cdma_to_line(d);
        for (; at < head && at < count; at++) {
            uint8_t sum = 0;
            for (unsigned k = 0; k < sources; k++) sum ^= ((const uint8_t *)from[k])[at];
            d[at] = sum;
        }
    }
    for (; at + 256 <= count; at += 256) {
        const uint8_t *s = (const uint8_t *)from[0] + at;
        cdma_line a = CDMA_LINE(s), b = CDMA_LINE(s + 64), c = CDMA_LINE(s + 128), e = CDMA_LINE(s + 192);
        unsigned k = 1;
        // In pairs: the compiler unrolls no loop of unknown length, and three operands are one instruction.
        for (; k + 2 <= sources; k += 2) {
            s = (const uint8_t *)from[k] + at;
            const uint8_t *t = (const uint8_t *)from[k + 1] + at;
            a ^= CDMA_LINE(s) ^ CDMA_LINE(t), b ^= CDMA_LINE(s + 64) ^ CDMA_LINE(t + 64);
            c ^= CDMA_LINE(s + 128) ^ CDMA_LINE(t + 128), e ^= CDMA_LINE(s + 192) ^ CDMA_LINE(t + 192);
        }
        if (k < sources) {
            s = (const uint8_t *)from[k] + at;
            a ^= CDMA_LINE(s), b ^= CDMA_LINE(s + 64), c ^= CDMA_LINE(s + 128), e ^= CDMA_LINE(s + 192);
        }
        if (stream) {
            CDMA_STREAM(d + at, a);
            CDMA_STREAM(d + at + 64, b);
            CDMA_STREAM(d + at + 128, c);
            CDMA_STREAM(d + at + 192, e);
        } else {
            CDMA_STORE(d + at, a);
            CDMA_STORE(d + at + 64, b);
            CDMA_STORE(d + at + 128, c);
            CDMA_STORE(d + at + 192, e);
        }
    }
    if (stream) cdma_stream_barrier();
    for (; at + 64 <= count; at += 64) {
        cdma_line a = CDMA_LINE((const uint8_t *)from[0] + at);
        for (unsigned k = 1; k < sources; k++) a ^= CDMA_LINE((const uint8_t *)from[k] + at);
        CDMA_STORE(d + at, a);
    }
    for (; at < count; at++) {
        uint8_t sum = 0;
        for (unsigned k = 0; k < sources; k++) sum ^= ((const uint8_t *)from[k])[at];
        d[at] = sum;
    }
}

CDMA_BODY bool cdma_xor_is_zero_body(const void *const *from, unsigned sources, size_t count) {
    size_t at = 0;
    for (; at + 256 <= count; at += 256) {
        const uint8_t *s = (const uint8_t *)from[0] + at;
        cdma_line a = CDMA_LINE(s), b = CDMA_LINE(s + 64), c = CDMA_LINE(s + 128), e = CDMA_LINE(s + 192);
        for (unsigned k = 1; k < sources; k++) {
            s = (const uint8_t *)from[k] + at;
            a ^= CDMA_LINE(s), b ^= CDMA_LINE(s + 64), c ^= CDMA_LINE(s + 128), e ^= CDMA_LINE(s + 192);
        }
        if (__builtin_reduce_or((a | b) | (c | e)) != 0) return false;
    }
    for (; at < count; at++) {
        uint8_t sum = 0;
        for (unsigned k = 0; k < sources; k++) sum ^= ((const uint8_t *)from[k])[at];
        if (sum != 0) return false;
    }
    return true;
}

#define CDMA_XOR_FUNCTIONS(target, suffix)                                                                              \
    target void cdma_xor_##suffix(void *to, const void *const *from, unsigned sources, size_t count) {                  \
        cdma_xor_body(to, from, sources, count, false);                                                                 \
    }                                                                                                                   \
    target void cdma_xor_stream_##suffix(void *to, const void *const *from, unsigned sources, size_t count) {           \
        cdma_xor_body(to, from, sources, count, true);                                                                  \
    }                                                                                                                   \
    target bool cdma_xor_is_zero_##suffix(const void *const *from, unsigned sources, size_t count) {                    \
        return cdma_xor_is_zero_body(from, sources, count);                                                             \
    }

CDMA_XOR_FUNCTIONS(CDMA_FOR_BASELINE, baseline)
#if defined(__x86_64__)
CDMA_XOR_FUNCTIONS(CDMA_FOR_AVX2, avx2)
CDMA_XOR_FUNCTIONS(CDMA_FOR_AVX512, avx512)
#endif

// Sets each of `count` bytes at `to` to the XOR of the bytes of `sources` (1 or more) ranges. With `stream` the destination
// bypasses the cache.
static inline void cdma_xor(uint32_t isa, bool stream, void *to, const void *const *from, unsigned sources,
                            size_t count) {
#if defined(__x86_64__)
    if (isa == CDMA_ISA_AVX512)
        return stream ? cdma_xor_stream_avx512(to, from, sources, count) : cdma_xor_avx512(to, from, sources, count);
    if (isa == CDMA_ISA_AVX2)
        return stream ? cdma_xor_stream_avx2(to, from, sources, count) : cdma_xor_avx2(to, from, sources, count);
#endif
    (void)isa;
    stream ? cdma_xor_stream_baseline(to, from, sources, count) : cdma_xor_baseline(to, from, sources, count);
}

// Whether the sources (1 or more) XOR to zero over their whole length.
static inline bool cdma_xor_is_zero(uint32_t isa, const void *const *from, unsigned sources, size_t count) {
#if defined(__x86_64__)
    if (isa == CDMA_ISA_AVX512) return cdma_xor_is_zero_avx512(from, sources, count);
    if (isa == CDMA_ISA_AVX2) return cdma_xor_is_zero_avx2(from, sources, count);
#endif
    (void)isa;
    return cdma_xor_is_zero_baseline(from, sources, count);
}

// The addresses at `offset` in the memory that `number` segments of an operand list describe. False for an address of 0, or
// more than `room`.
static inline bool cdma_list_places(const struct cdma_list_segment *list, unsigned number, size_t offset, void **places,
                                    unsigned room) {
    if (number > room) return false;
    for (unsigned k = 0; k < number; k++) {
        if (!list[k].address) return false;
        places[k] = (uint8_t *)(uintptr_t)list[k].address + offset;
    }
    return true;
}

// `cdma_xor` for `count` bytes at `offset` of a list: `sources` segments, then the destination, which is a source too where the
// operation continues. False for an address of 0, no sources, or more than CDMA_LIST_SOURCES.
static inline bool cdma_xor_list(uint32_t isa, bool stream, const void *segments, unsigned sources, bool continues,
                                 size_t offset, size_t count) {
    void *places[CDMA_LIST_SOURCES + 1];
    if (!sources || !cdma_list_places((const struct cdma_list_segment *)segments, sources + 1, offset, places,
                                      CDMA_LIST_SOURCES + 1))
        return false;
    cdma_xor(isa, stream, places[sources], (const void *const *)places, sources + (continues ? 1 : 0), count);
    return true;
}

// Calls one of ISA-L's raid functions (raid.h) for a list, whose order is ISA-L's: sources, then destinations. False where that
// is not possible: an address of 0, or one that is not a multiple of 32.
static inline bool cdma_raid_list(int (*generate)(int, int, void **), const void *segments, unsigned number, size_t offset,
                                  size_t count) {
    void *places[CDMA_LIST_SOURCES + 2];
    if (!cdma_list_places((const struct cdma_list_segment *)segments, number, offset, places, CDMA_LIST_SOURCES + 2))
        return false;
    uintptr_t all = 0;
    for (unsigned k = 0; k < number; k++) all |= (uintptr_t)places[k];
    return (all & 31) == 0 && generate((int)number, (int)count, places) == 0;
}

#endif
