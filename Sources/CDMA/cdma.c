// SPDX-License-Identifier: Apache-2.0
// SwiftPM builds a C target only if it has a source file. The module is header-only but for this one word, which must be
// the same object in every Swift module that has inlined the question whether the sanitizer is on.
#include "CDMA.h"

uint32_t cdma_sanitizer_word = 0;
