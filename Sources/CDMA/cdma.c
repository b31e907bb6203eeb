// SPDX-License-Identifier: Apache-2.0
// SwiftPM builds a C target only if it has a source file; the module itself is header-only.
#include "CDMA.h"
