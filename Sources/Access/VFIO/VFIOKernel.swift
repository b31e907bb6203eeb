// SPDX-License-Identifier: Apache-2.0

/// The system calls that VFIO consists of: those of the running kernel, or a script that answers as odd kernels do.
///
/// Each answers a negative errno on failure, unless its comment says otherwise. What comes back is not trusted by the callers.
///
/// Thread rules: called from any thread.
package protocol VFIOKernel: AnyObject, Sendable {
    // MARK: Files

    /// Opens a device file for reading and writing; answers its descriptor.
    func open(_ path: String) -> Int32
    func close(_ descriptor: Int32) -> Int32
    /// The first 4096 bytes of a small file, without the line's end; nil where it cannot be read.
    func text(_ path: String) -> String?
    /// What a symbolic link holds; nil where there is none.
    func link(_ path: String) -> String?
    /// The names in a folder, in no order; nil where it cannot be read.
    func names(in folder: String) -> [String]?

    // MARK: Answers of variable length

    /// Asks for a structure that begins with argsz, which is set to `room.count` at most.
    func ask(_ descriptor: Int32, _ question: VFIOQuestion, _ room: inout [UInt8]) -> Int32

    // MARK: Groups and containers

    func version(of container: Int32) -> Int32
    func has(_ container: Int32, _ extension: Int32) -> Int32
    func status(of group: Int32, _ flags: inout UInt32) -> Int32
    func join(_ group: Int32, _ container: Int32) -> Int32
    func setIOMMU(_ container: Int32, _ type: Int32) -> Int32
    /// Opens a device of a group; answers its descriptor.
    func device(of group: Int32, _ name: String) -> Int32

    // MARK: iommufd

    func makeSpace(_ iommufd: Int32, _ number: inout UInt32) -> Int32
    func destroySpace(_ iommufd: Int32, _ number: UInt32) -> Int32
    /// Pairs of first and last address. `count` becomes how many there are.
    func ranges(_ iommufd: Int32, _ space: UInt32, _ pairs: inout [UInt64], _ count: inout UInt32, _ alignment: inout UInt64)
        -> Int32
    func bind(_ device: Int32, _ iommufd: Int32) -> Int32
    func attach(_ device: Int32, _ space: UInt32) -> Int32

    // MARK: Mappings

    func map(_ table: VFIOTable, _ iova: UInt64, _ address: UInt64, _ count: UInt64, reads: Bool, writes: Bool) -> Int32
    /// `count` becomes what was unmapped.
    func unmap(_ table: VFIOTable, _ iova: UInt64, _ count: inout UInt64) -> Int32
    /// What is left of RLIMIT_MEMLOCK, in bytes.
    var lockLimit: UInt64 { get }

    // MARK: A device

    func reset(_ device: Int32) -> Int32
    func hotReset(_ device: Int32, _ groups: [Int32]) -> Int32
    func interrupts(_ device: Int32, _ index: UInt32, _ action: VFIOInterruptAction) -> Int32
    func read(_ device: Int32, _ offset: UInt64, _ width: Int, _ value: inout UInt64) -> Int32
    func write(_ device: Int32, _ offset: UInt64, _ width: Int, _ value: UInt64) -> Int32
    /// Maps registers; `address` becomes where, and is the caller's to unmap.
    func mapRegion(_ device: Int32, _ offset: UInt64, _ count: Int, _ address: inout UInt) -> Int32
}

/// Which structure is asked for. The numbers are those of `cdma_vfio_ask`.
package enum VFIOQuestion: Int32, Sendable {
    case device = 0
    case region = 1
    case interrupt = 2
    case iommu = 3
    case hotReset = 4
}

/// What is done to the interrupts of an index.
package enum VFIOInterruptAction: Sendable, Equatable {
    /// The vectors from 0 on signal these events.
    case signal([Int32])
    case mask
    case unmask
    case switchOff
}

/// Where mappings are kept: a container, or an address space of iommufd.
package enum VFIOTable: Sendable, Equatable {
    case container(Int32)
    case space(Int32, UInt32)
}

/// Constants of the kernel's, include/uapi/linux/vfio.h.
enum VFIOABI {
    static let version: Int32 = 0
    static let type1v2: Int32 = 3
    static let groupViable: UInt32 = 1
    static let hasReset: UInt32 = 1
    static let isPCI: UInt32 = 2
    static let configurationRegion = 7
    static let regionReads: UInt32 = 1
    static let regionWrites: UInt32 = 2
    static let regionMaps: UInt32 = 4
    static let regionHasCapabilities: UInt32 = 8
    static let sparseMapping: UInt16 = 1
    static let interruptEvents: UInt32 = 1
    static let errorIndex: UInt32 = 3
    static let requestIndex: UInt32 = 4
    static let iommuPageSizes: UInt32 = 1
    static let iommuHasCapabilities: UInt32 = 2
    static let iommuRanges: UInt16 = 1
    static let iommuEntries: UInt16 = 3
}

/// Error numbers that callers tell apart, include/uapi/asm-generic/errno-base.h and errno.h.
enum ErrorNumber {
    static let notPermitted: Int32 = 1
    static let noEntry: Int32 = 2
    static let again: Int32 = 11
    static let noMemory: Int32 = 12
    static let noAccess: Int32 = 13
    static let busy: Int32 = 16
    static let noDevice: Int32 = 19
    static let invalid: Int32 = 22
    static let noSpace: Int32 = 28
    static let messageSize: Int32 = 90
}
