// SPDX-License-Identifier: Apache-2.0
// The copy, fill, XOR, PQ and CRC32C kernels of the CPU engine, one header per topic.
//
// Most bodies are written once, with the compiler's vector extensions, and compiled several times: for the machine's baseline
// (SSE2, NEON or none) and, on x86-64, for AVX2 and AVX-512. The caller selects one by a number, from the result of
// cdma_cpu_features(); a number that this build does not have selects the baseline.
#ifndef CDMA_KERNELS_H
#define CDMA_KERNELS_H

#include "cdma_kernels_copy.h"
#include "cdma_kernels_cpu.h"
#include "cdma_kernels_crc.h"
#include "cdma_kernels_pattern.h"
#include "cdma_kernels_pq.h"
#include "cdma_kernels_xor.h"

#endif
