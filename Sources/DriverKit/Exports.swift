// SPDX-License-Identifier: Apache-2.0

// What the author of an engine names: the whole engine's protocol with its words, and of the core what an engine is opened with, keeps of
// its own, and is offered by. A client's side (channels, buffers, operations) is reached by `import DMA` or `import DMACore`. Scripts/test
// counts what is shown.

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
