// SPDX-License-Identifier: Apache-2.0
// CRC32C (Castagnoli, polynomial 0x1edc6f41, reflected), as iSCSI, SCTP, ext4 and NVMe use it (RFC 3720, 12.1).
//
// All functions take and return the raw register: start with ~0 and invert the result for the standard CRC, whose value over
// the nine digits "123456789" is 0xe3069283.
#ifndef CDMA_KERNELS_CRC_H
#define CDMA_KERNELS_CRC_H

#include "cdma_kernels_cpu.h"
#if defined(__aarch64__)
#include <arm_acle.h>
#endif

// The code paths.
#define CDMA_CRC_TABLES 0u      // eight table look-ups for eight bytes, any processor
#define CDMA_CRC_INSTRUCTION 1u // the CRC32C instruction on three streams at once
#define CDMA_CRC_FOLDING 2u     // carry-less multiplication of 512-bit vectors

// Words of the table that cdma_crc32c_prepare fills: 8 × 256 for the look-ups, then 4 × 256 for each of the two strides.
#define CDMA_CRC_TABLE_WORDS (16u * 256u)
#define CDMA_CRC_LONG 4096u // bytes in each of three streams
#define CDMA_CRC_SHORT 256u

// The register after `bytes` bytes of zero.
static inline uint32_t cdma_crc32c_zeros(const uint32_t *table, uint32_t crc, size_t bytes) {
    for (; bytes > 0; bytes--) crc = table[crc & 0xff] ^ crc >> 8;
    return crc;
}

// Fills the table, once per process. The register is linear, so that the effect of `stride` zeros on it follows from their
// effect on each of its four bytes alone.
static inline void cdma_crc32c_prepare(uint32_t *table) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (unsigned bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
        table[i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (unsigned k = 1; k < 8; k++) table[k * 256 + i] = cdma_crc32c_zeros(table, table[(k - 1) * 256 + i], 1);
    const size_t stride[2] = {CDMA_CRC_LONG, CDMA_CRC_SHORT};
    for (unsigned which = 0; which < 2; which++) {
        uint32_t *shift = table + (8 + 4 * which) * 256;
        uint32_t bits[32];
        for (unsigned bit = 0; bit < 32; bit++) bits[bit] = cdma_crc32c_zeros(table, 1u << bit, stride[which]);
        for (unsigned byte = 0; byte < 4; byte++)
            for (unsigned value = 0; value < 256; value++) {
                uint32_t sum = 0;
                for (unsigned bit = 0; bit < 8; bit++)
                    if (value >> bit & 1) sum ^= bits[byte * 8 + bit];
                shift[byte * 256 + value] = sum;
            }
    }
}

CDMA_BODY uint32_t cdma_crc32c_shift(const uint32_t *shift, uint32_t crc) {
    return shift[crc & 0xff] ^ shift[256 + (crc >> 8 & 0xff)] ^ shift[512 + (crc >> 16 & 0xff)] ^ shift[768 + (crc >> 24)];
}

CDMA_BODY uint64_t cdma_crc32c_word(const uint8_t *at) {
    uint64_t word;
    memcpy(&word, at, 8);
    return word;
}

static inline uint32_t cdma_crc32c_tables(const uint32_t *table, uint32_t crc, const void *from, size_t count) {
    const uint8_t *s = (const uint8_t *)from;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    for (; count >= 8; s += 8, count -= 8) {
        uint64_t word = cdma_crc32c_word(s) ^ crc;
        crc = 0;
        for (unsigned k = 0; k < 8; k++) crc ^= table[(7 - k) * 256 + (word >> (8 * k) & 0xff)];
    }
#endif
    for (; count > 0; s++, count--) crc = table[(crc ^ *s) & 0xff] ^ crc >> 8;
    return crc;
}

#if defined(__x86_64__)
#define CDMA_FOR_CRC static inline __attribute__((noinline, target("sse4.2")))
#define CDMA_CRC_STEP8(crc, word) ((uint32_t)_mm_crc32_u64((crc), (word)))
#define CDMA_CRC_STEP1(crc, byte) _mm_crc32_u8((crc), (byte))
#elif defined(__aarch64__)
#define CDMA_FOR_CRC static inline __attribute__((noinline, target("crc")))
#define CDMA_CRC_STEP8(crc, word) __crc32cd((crc), (word))
#define CDMA_CRC_STEP1(crc, byte) __crc32cb((crc), (byte))
#endif

#if defined(CDMA_FOR_CRC)
// The instruction has a latency of three cycles and a throughput of one per cycle: three streams, combined with the effect of a
// stride's zeros.
CDMA_FOR_CRC uint32_t cdma_crc32c_instruction(const uint32_t *table, uint32_t crc, const void *from, size_t count) {
    const uint8_t *s = (const uint8_t *)from;
    for (unsigned which = 0; which < 2; which++) {
        const size_t stride = which == 0 ? CDMA_CRC_LONG : CDMA_CRC_SHORT;
        const uint32_t *shift = table + (8 + 4 * which) * 256;
        for (; count >= 3 * stride; s += 3 * stride, count -= 3 * stride) {
            uint32_t second = 0, third = 0;
            for (size_t i = 0; i < stride; i += 8) {
                crc = CDMA_CRC_STEP8(crc, cdma_crc32c_word(s + i));
                second = CDMA_CRC_STEP8(second, cdma_crc32c_word(s + stride + i));
                third = CDMA_CRC_STEP8(third, cdma_crc32c_word(s + 2 * stride + i));
            }
            crc = cdma_crc32c_shift(shift, crc) ^ second;
            crc = cdma_crc32c_shift(shift, crc) ^ third;
        }
    }
    for (; count >= 8; s += 8, count -= 8) crc = CDMA_CRC_STEP8(crc, cdma_crc32c_word(s));
    for (; count > 0; s++, count--) crc = CDMA_CRC_STEP1(crc, *s);
    return crc;
}
#endif

#if defined(__x86_64__)
#define CDMA_FOR_FOLDING                                                                                                \
    static inline __attribute__((noinline, target("sse4.2,pclmul,avx512f,avx512bw,avx512dq,avx512vl,vpclmulqdq")))

// Advances a remainder by D bits: the halves of `key` are x^(D+32) and x^(D-32) modulo the polynomial, bit-reflected and
// shifted left by one ("Fast CRC computation using PCLMULQDQ", Intel 2009).
#define CDMA_FOLD(value, key, next)                                                                                     \
    _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128((value), (key), 0x00),                                           \
                              _mm512_clmulepi64_epi128((value), (key), 0x11), (next), 0x96)
#define CDMA_FOLD_KEY(low, high) _mm512_set_epi64(high, low, high, low, high, low, high, low)

CDMA_FOR_FOLDING uint32_t cdma_crc32c_folding(uint32_t crc, const void *from, size_t count) {
    const uint8_t *s = (const uint8_t *)from;
    if (count >= 256) {
        __m512i a = _mm512_loadu_si512(s), b = _mm512_loadu_si512(s + 64);
        __m512i c = _mm512_loadu_si512(s + 128), d = _mm512_loadu_si512(s + 192);
        a = _mm512_xor_si512(a, _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)crc)));
        const __m512i by2048 = CDMA_FOLD_KEY(0xdcb17aa4, 0xb9e02b86);
        for (s += 256, count -= 256; count >= 256; s += 256, count -= 256) {
            a = CDMA_FOLD(a, by2048, _mm512_loadu_si512(s));
            b = CDMA_FOLD(b, by2048, _mm512_loadu_si512(s + 64));
            c = CDMA_FOLD(c, by2048, _mm512_loadu_si512(s + 128));
            d = CDMA_FOLD(d, by2048, _mm512_loadu_si512(s + 192));
        }
        const __m512i by512 = CDMA_FOLD_KEY(0x740eef02, 0x9e4addf8);
        b = CDMA_FOLD(a, by512, b);
        c = CDMA_FOLD(b, by512, c);
        d = CDMA_FOLD(c, by512, d);
        for (; count >= 64; s += 64, count -= 64) d = CDMA_FOLD(d, by512, _mm512_loadu_si512(s));
        // The four 128-bit lanes are 384, 256, 128 and 0 bits from the end; the last stays as it is.
        const __m512i lanes =
            _mm512_set_epi64(0, 0, 0x14cd00bd6, 0xf20c0dfe, 0xba4fc28e, 0x1384aa63a, 0x1d82c63da, 0x1c291d04);
        __m512i moved = _mm512_xor_si512(_mm512_clmulepi64_epi128(d, lanes, 0x00), _mm512_clmulepi64_epi128(d, lanes, 0x11));
        __m128i sum = _mm_xor_si128(_mm512_extracti32x4_epi32(d, 3), _mm512_castsi512_si128(moved));
        sum = _mm_xor_si128(sum, _mm512_extracti32x4_epi32(moved, 1));
        sum = _mm_xor_si128(sum, _mm512_extracti32x4_epi32(moved, 2));
        crc = (uint32_t)_mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(sum));
        crc = (uint32_t)_mm_crc32_u64(crc, (uint64_t)_mm_extract_epi64(sum, 1));
    }
    for (; count >= 8; s += 8, count -= 8) crc = (uint32_t)_mm_crc32_u64(crc, cdma_crc32c_word(s));
    for (; count > 0; s++, count--) crc = _mm_crc32_u8(crc, *s);
    return crc;
}
#endif

// The register after `count` bytes, by the path `how`; `table` was filled by cdma_crc32c_prepare.
static inline uint32_t cdma_crc32c(uint32_t how, const uint32_t *table, uint32_t crc, const void *from, size_t count) {
#if defined(__x86_64__)
    if (how == CDMA_CRC_FOLDING) return cdma_crc32c_folding(crc, from, count);
#endif
#if defined(CDMA_FOR_CRC)
    if (how == CDMA_CRC_INSTRUCTION) return cdma_crc32c_instruction(table, crc, from, count);
#endif
    (void)how;
    return cdma_crc32c_tables(table, crc, from, count);
}

#endif
