// SPDX-License-Identifier: Apache-2.0

extension DMAError {
    /// The reasons for which a request is refused or fails. Names are stable across releases.
    public enum Code: UInt16, Sendable, CaseIterable {
        // Memory
        case zeroLength, sizeOverflow, badAlignment, outOfMemory, hugePagesUnavailable, memoryLocked, noSuchHeap,
            memoryInUse, poolEmpty, notContiguous, unsupportedBacking
        // Mapping
        case unreachableAddress, noAddressSpace, mappingTooLarge, tooManySegments, misaligned, sharedCacheLine,
            alreadyMapped, notMapped, wrongDirection, outOfRange, backendFailed, quarantined, domainClosed, mappingsLeft,
            unmapMismatch,
            notCoherent, noFileDescriptor, partialUnmap, unsupportedSource, addressSpaceInUse, spaceBusy, notAttached,
            segmentGap
        // Channels
        case channelBusy, noSuchChannel, queueFull, unsupportedOperation, unsupportedFlag, noSuchRegion, foreignDomain,
            noPermission, overlappingRegions, lengthMismatch, tooManySources, terminating, notPausable, notPaused,
            calledFromCallback, quiesceTimeout, staleCookie, notReusable, noMetadata, metadataInUse, cancelled, notPeripheral,
            badConfiguration,
            notCyclic, deadlinePassed, engineFailed, badPeriod, badShare, unsupportedCommand,
            noSuchPeripheral, tooManyPeripherals, peripheralBusy, kernelRefused, needsPipe,
            deviceGone, usedAfterFork, foreignEngine, unknownCookie, foreignSettings, foreignPart
        // Memory of a peer process
        case unmappedAddress, unstableFile, tooManyRegions, regionInUse, copiesOnly
        // Devices
        case deviceBusy, deviceNotTrusted, deviceNotIsolated
        // A paused channel
        case paused
    }
}

extension DMAError.Code {
    /// The contract rule that concerns the code; nil where none does.
    var rule: Int? {
        switch self {
        case .channelBusy, .noSuchChannel, .usedAfterFork, .deviceBusy: 1
        case .notPeripheral, .badConfiguration, .noSuchPeripheral, .tooManyPeripherals, .peripheralBusy, .foreignSettings: 2
        case .unsupportedOperation, .unsupportedFlag, .noSuchRegion, .foreignDomain, .lengthMismatch, .unsupportedCommand,
            .needsPipe:
            3
        case .queueFull: 7
        case .staleCookie, .unknownCookie: 8
        case .engineFailed: 13
        case .calledFromCallback: 17
        case .quarantined, .terminating, .quiesceTimeout, .cancelled, .regionInUse: 18
        case .notPausable, .notPaused, .paused: 19
        case .notCyclic, .badPeriod: 22
        case .notReusable: 25
        case .tooManySources: 27
        case .noMetadata, .metadataInUse: 28
        case .foreignEngine: 29
        case .unreachableAddress, .noAddressSpace: 30
        case .backendFailed, .noFileDescriptor, .unsupportedSource, .addressSpaceInUse, .spaceBusy, .notAttached: 31
        case .alreadyMapped, .notMapped, .domainClosed, .mappingsLeft, .unmapMismatch, .partialUnmap, .foreignPart: 33
        case .wrongDirection, .noPermission: 34
        case .outOfRange: 35
        case .sharedCacheLine: 36
        case .notCoherent: 37
        case .badAlignment, .memoryInUse, .poolEmpty: 38
        case .mappingTooLarge, .tooManySegments, .misaligned, .segmentGap: 39
        case .zeroLength, .sizeOverflow, .outOfMemory, .hugePagesUnavailable, .memoryLocked, .noSuchHeap, .notContiguous,
            .unsupportedBacking, .overlappingRegions, .deadlinePassed, .kernelRefused, .deviceGone, .deviceNotTrusted,
            .deviceNotIsolated, .unmappedAddress, .unstableFile, .tooManyRegions, .copiesOnly, .badShare:
            nil
        }
    }
}
