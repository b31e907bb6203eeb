// SPDX-License-Identifier: Apache-2.0

// Whoever asks for a channel has buffers to map and cargo to submit: one import is enough for both.
@_exported public import DMACore
