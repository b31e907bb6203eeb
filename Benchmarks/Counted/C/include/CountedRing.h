// SPDX-License-Identifier: Apache-2.0
#include "loop.h"
#include "ring.h"
