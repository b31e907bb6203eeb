// SPDX-License-Identifier: Apache-2.0

import Testing

/// The suites that run whole engines, one after the other: each keeps a thread busy, and their measurements include waits of
/// tasks that need one.
@Suite("Conformance", .serialized)
enum OneAtATime {}
