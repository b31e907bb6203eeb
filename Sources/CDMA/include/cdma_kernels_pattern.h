// SPDX-License-Identifier: Apache-2.0
// A reproducible stream of bytes by seed and offset, generated and checked at memory speed.
//
// Word i of the stream is a function of i and two words of key, so that any part of it can be generated on its own. The mixing
// only needs 32 × 32 → 64 bit products, which every vector extension has. It is no statistical generator: it serves to detect
// bytes at a wrong position, or of another seed.
#ifndef CDMA_KERNELS_PATTERN_H
#define CDMA_KERNELS_PATTERN_H

#include "cdma_kernels_cpu.h"

#define CDMA_PATTERN_MIX(z, key)                                                                                        \
    do {                                                                                                                \
        (z) = ((z) & 0xffffffffu) * 0x9e3779b1u ^ ((z) >> 32) * 0x85ebca77u;                                            \
        (z) ^= (z) >> 29 ^ (key);                                                                                       \
        (z) = ((z) & 0xffffffffu) * 0xc2b2ae3du ^ ((z) >> 32) * 0x27d4eb2fu;                                            \
        (z) ^= (z) >> 31;                                                                                               \
    } while (0)

static inline uint64_t cdma_pattern_word(uint64_t first, uint64_t second, uint64_t index) {
    uint64_t z = index + first;
    CDMA_PATTERN_MIX(z, second);
    return z;
}

CDMA_BODY void cdma_pattern_lines(uint64_t first, uint64_t second, uint64_t index, uint8_t *to, size_t lines) {
    cdma_line z0 = {0, 1, 2, 3, 4, 5, 6, 7};
    z0 += index + first;
    for (; lines > 0; lines--, to += 64, z0 += 8) {
        cdma_line z = z0;
        CDMA_PATTERN_MIX(z, second);
        CDMA_STORE(to, z);
    }
}
// The number of correct lines from the first on.
CDMA_BODY size_t cdma_pattern_equal_lines(
    uint64_t first, uint64_t second, uint64_t index, const uint8_t *at, size_t lines) {
    cdma_line z0 = {0, 1, 2, 3, 4, 5, 6, 7};
    z0 += index + first;
    size_t done = 0;
    while (done < lines) {
        size_t some = lines - done < 64 ? lines - done : 64;
        cdma_line wrong = {0};
        cdma_line start = z0;
        for (size_t i = 0; i < some; i++, z0 += 8) {
            cdma_line z = z0;
            CDMA_PATTERN_MIX(z, second);
            wrong |= z ^ CDMA_LINE(at + (done + i) * 64);
        }
        uint64_t any = 0;
        for (unsigned lane = 0; lane < 8; lane++) any |= wrong[lane];
        if (any) {
            z0 = start;
            for (size_t i = 0; i < some; i++, z0 += 8) {
                cdma_line z = z0;
                CDMA_PATTERN_MIX(z, second);
                cdma_line difference = z ^ CDMA_LINE(at + (done + i) * 64);
                uint64_t one = 0;
                for (unsigned lane = 0; lane < 8; lane++) one |= difference[lane];
                if (one) return done + i;
            }
        }
        done += some;
    }
    return lines;
}

CDMA_FOR_BASELINE void cdma_pattern_fill_baseline(uint64_t a, uint64_t b, uint64_t i, uint8_t *to, size_t lines) {
    cdma_pattern_lines(a, b, i, to, lines);
}
CDMA_FOR_BASELINE size_t cdma_pattern_test_baseline(uint64_t a, uint64_t b, uint64_t i, const uint8_t *at, size_t lines) {
    return cdma_pattern_equal_lines(a, b, i, at, lines);
}
#if defined(__x86_64__)
CDMA_FOR_AVX2 void cdma_pattern_fill_avx2(uint64_t a, uint64_t b, uint64_t i, uint8_t *to, size_t lines) {
    cdma_pattern_lines(a, b, i, to, lines);
}
CDMA_FOR_AVX512 void cdma_pattern_fill_avx512(uint64_t a, uint64_t b, uint64_t i, uint8_t *to, size_t lines) {
    cdma_pattern_lines(a, b, i, to, lines);
}
CDMA_FOR_AVX2 size_t cdma_pattern_test_avx2(uint64_t a, uint64_t b, uint64_t i, const uint8_t *at, size_t lines) {
    return cdma_pattern_equal_lines(a, b, i, at, lines);
}
CDMA_FOR_AVX512 size_t cdma_pattern_test_avx512(uint64_t a, uint64_t b, uint64_t i, const uint8_t *at, size_t lines) {
    return cdma_pattern_equal_lines(a, b, i, at, lines);
}
#endif

static inline uint8_t cdma_pattern_byte(uint64_t first, uint64_t second, uint64_t offset) {
    return (uint8_t)(cdma_pattern_word(first, second, offset >> 3) >> (8 * (offset & 7)));
}

static inline void cdma_pattern_fill_lines(uint32_t isa, uint64_t a, uint64_t b, uint64_t i, uint8_t *to, size_t lines) {
#if defined(__x86_64__)
    if (isa == CDMA_ISA_AVX512) return cdma_pattern_fill_avx512(a, b, i, to, lines);
    if (isa == CDMA_ISA_AVX2) return cdma_pattern_fill_avx2(a, b, i, to, lines);
#endif
    (void)isa;
    cdma_pattern_fill_baseline(a, b, i, to, lines);
}
static inline size_t cdma_pattern_test_lines(
    uint32_t isa, uint64_t a, uint64_t b, uint64_t i, const uint8_t *at, size_t lines) {
#if defined(__x86_64__)
    if (isa == CDMA_ISA_AVX512) return cdma_pattern_test_avx512(a, b, i, at, lines);
    if (isa == CDMA_ISA_AVX2) return cdma_pattern_test_avx2(a, b, i, at, lines);
#endif
    (void)isa;
    return cdma_pattern_test_baseline(a, b, i, at, lines);
}

// The stream's bytes `offset ..< offset + count`.
static inline void cdma_pattern_fill(
    uint32_t isa, uint64_t first, uint64_t second, uint64_t offset, void *to, size_t count) {
    uint8_t *d = (uint8_t *)to;
    for (; count > 0 && (offset & 7); count--) *d++ = cdma_pattern_byte(first, second, offset++);
    size_t lines = count / 64;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    cdma_pattern_fill_lines(isa, first, second, offset >> 3, d, lines);
    d += lines * 64, offset += lines * 64, count -= lines * 64;
#else
    (void)isa, (void)lines;
#endif
    for (; count > 0; count--) *d++ = cdma_pattern_byte(first, second, offset++);
}
// The number of correct bytes from the first on: `count` where all are.
static inline size_t cdma_pattern_test(
    uint32_t isa, uint64_t first, uint64_t second, uint64_t offset, const void *at, size_t count) {
    const uint8_t *s = (const uint8_t *)at;
    size_t done = 0;
    for (; done < count && ((offset + done) & 7); done++)
        if (s[done] != cdma_pattern_byte(first, second, offset + done)) return done;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    size_t lines = (count - done) / 64;
    size_t good = cdma_pattern_test_lines(isa, first, second, (offset + done) >> 3, s + done, lines);
    done += good * 64;
    size_t end = good == lines ? count : done + 64;
#else
    (void)isa;
    size_t end = count;
#endif
    for (; done < end; done++)
        if (s[done] != cdma_pattern_byte(first, second, offset + done)) return done;
    return done;
}

// Whether all bytes are zero.
static inline bool cdma_is_zero(const void *at, size_t count) {
    const uint8_t *s = (const uint8_t *)at;
    if (count > 0 && s[0]) return false;
    return count < 2 || memcmp(s, s + 1, count - 1) == 0;
}

#endif
