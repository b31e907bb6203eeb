// SPDX-License-Identifier: Apache-2.0

import Testing

/// One after the other: they count the descriptors, threads and mappings of their process.
@Suite("vfio-user", .serialized)
enum VFIOUserTests {}
