// SPDX-License-Identifier: Apache-2.0

// The names that clients of a channel use, so that `import DMA` is enough for them: calls, and submit, issue, next. The rest of
// the core (pools and blocks of the inlined channel, callbacks, regions, device constraints, paced engines, the sanitizer, the
// quarantine) comes with `import DMACore`, and an engine's side with `import DMADriverKit`. Values of types that are not listed
// can still be used. Scripts/test counts the re-exports.

@_exported public import struct DMACore.AllocationPolicy
@_exported public import struct DMACore.AnySettings
@_exported public import enum DMACore.Backing
@_exported public import struct DMACore.Buffer
@_exported public import protocol DMACore.Cargo
@_exported public import struct DMACore.CargoList
@_exported public import struct DMACore.Channel
@_exported public import enum DMACore.ChannelState
@_exported public import struct DMACore.Cookie
@_exported public import struct DMACore.CyclicRing
@_exported public import class DMACore.Domain
@_exported public import class DMACore.FileChunk
@_exported public import struct DMACore.Finished
@_exported public import struct DMACore.Loan
@_exported public import enum DMACore.MapOutcome
@_exported public import struct DMACore.MappedBuffer
@_exported public import struct DMACore.MappedScatterList
@_exported public import struct DMACore.Operation
@_exported public import struct DMACore.Pair
@_exported public import enum DMACore.PeriodOutcome
@_exported public import struct DMACore.PeriodView
@_exported public import enum DMACore.RunOutcome
@_exported public import struct DMACore.ScatterList
@_exported public import enum DMACore.ScatterMapOutcome
@_exported public import class DMACore.SharedChannel
@_exported public import enum DMACore.Submission
@_exported public import struct DMACore.Transaction
@_exported public import struct DMATypes.Capabilities
@_exported public import struct DMATypes.DMAError
@_exported public import struct DMATypes.Deadline
@_exported public import struct DMATypes.DescriptorFlags
@_exported public import enum DMATypes.Direction
@_exported public import struct DMATypes.EngineConfiguration
@_exported public import enum DMATypes.OperationKind
@_exported public import struct DMATypes.OperationSet
@_exported public import enum DMATypes.PeripheralCommand
@_exported public import struct DMATypes.PeripheralFile
@_exported public import struct DMATypes.PeripheralPlace
@_exported public import enum DMATypes.TransactionStatus
@_exported public import struct DMATypes.ValidationResult
