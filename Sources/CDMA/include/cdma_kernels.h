// SPDX-License-Identifier: Apache-2.0
// The copy, fill, XOR, PQ and CRC32C kernels of the CPU engine.
#ifndef CDMA_KERNELS_H
#define CDMA_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#endif
