// SPDX-License-Identifier: Apache-2.0

// The names that the author of an engine uses: the engine protocol with its types, and the types of the core for opening an
// engine, for its own memory, and for offering it. Clients' types (channels, buffers, operations) come with `import DMA` or
// `import DMACore`. Scripts/test counts the re-exports.

@_exported public import DMAEngineKit

@_exported public import struct DMACore.AllocationPolicy
@_exported public import enum DMACore.Backing
@_exported public import struct DMACore.CoherentBuffer
@_exported public import struct DMACore.DeviceConstraints
@_exported public import class DMACore.Domain
@_exported public import struct DMACore.EngineAbsence
@_exported public import struct DMACore.EngineDevice
@_exported public import struct DMACore.EngineOffer
@_exported public import protocol DMACore.EngineProvider
@_exported public import protocol DMACore.SharedWord
@_exported public import enum DMACore.Translation
