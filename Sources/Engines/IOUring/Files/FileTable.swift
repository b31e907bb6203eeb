// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import SystemPackage

/// What the steady path looks at of a file.
@usableFromInline @frozen
struct FileEntry {
    /// Address, position and length have none of these bits: then a read, or a write, goes as one plain request. All ones where
    /// none does.
    @usableFromInline var readMask: UInt64
    @usableFromInline var writeMask: UInt64
    /// What requests name, and with which of their flags.
    @usableFromInline var descriptor: Int32
    @usableFromInline var flags: UInt8
    /// Transactions that name the file.
    @usableFromInline var inFlight: UInt32

    init() {
        readMask = .max
        writeMask = .max
        descriptor = -1
        flags = 0
        inFlight = 0
    }
}

/// What kind of file a peripheral is.
enum FileKind: UInt8 {
    case regular, block, character, pipe, socket, other

    init(format: UInt32) {
        self =
            switch format {
            case 0o100000: .regular
            case 0o060000: .block
            case 0o020000: .character
            case 0o010000: .pipe
            case 0o140000: .socket
            default: .other
            }
    }
    /// Whether its bytes have positions.
    var hasPositions: Bool { self == .regular || self == .block }
}

/// How requests name one open description of a file: its place in the kernel's table where the flags say so, else its descriptor.
struct FileHandle {
    var number: Int32
    var flags: UInt8
    /// For requests that have no file.
    static let none = FileHandle(number: -1, flags: 0)
}

/// What is known of an attached file beside its entry.
struct FileRecord {
    var file: PeripheralFile
    var kind: FileKind
    /// Our own descriptors: through the page cache (or as it was opened), and past it.
    var owned: FileDescriptor
    var ownedDirect: FileDescriptor?
    var handle: FileHandle
    var direct: FileHandle?
    /// Where the file is the generic node of an NVMe namespace.
    var namespace: NVMeNamespace?
    /// What direct transfers are multiples of, less 1: the memory, and positions and lengths of reads and of writes. Bytes.
    var memoryMask: UInt64 = 0
    var readMask: UInt64 = 0
    var writeMask: UInt64 = 0
    var gate = WriteGate()
    /// Direct writes that are slow-path transactions and run.
    var openDirect = 0
    /// Whether sends to a socket may go without a copy.
    var sendsZeroCopy = true
    /// Transactions that wait for their turn on a stream, by slot: one reads at a time, and one writes.
    var readers: [Int] = []
    var writers: [Int] = []

    /// What the steady path looks at: a direct file's alignments where it has a direct description.
    var entryReadMask: UInt64 { !kind.hasPositions ? .max : direct == nil ? 0 : readMask | memoryMask }
    var entryWriteMask: UInt64 { !kind.hasPositions ? .max : direct == nil ? 0 : writeMask | memoryMask }

    var isStream: Bool { namespace == nil && !kind.hasPositions }
}

/// The files that an engine has, and their places in the kernel's table.
struct FileTable {
    var records: [FileRecord?]
    /// Whether the kernel has a table of ours: two places for each file.
    private(set) var isRegistered = false

    init(_ capacity: Int) { records = Array(repeating: nil, count: capacity) }

    /// Asks the kernel for an empty table.
    mutating func register(_ carrier: any Carrier) {
        // SAFETY: the kernel reads a local structure, of which it is told the size, before the call returns.
        guard carrier.isKernel else { return }
        var table = cdma_uring_resources()
        table.count = UInt32(records.count * 2)
        // IORING_RSRC_REGISTER_SPARSE
        table.flags = 1
        isRegistered = unsafe withUnsafeMutablePointer(to: &table) {
            unsafe carrier.register(RegisterOperation.files, $0, UInt32(MemoryLayout<cdma_uring_resources>.size)).errno == nil
        }
    }

    /// How requests name `descriptor`, which has place `place` in the kernel's table where there is one.
    func handle(_ descriptor: FileDescriptor, at place: Int, _ carrier: any Carrier) -> FileHandle {
        guard isRegistered, set(descriptor.rawValue, at: place, carrier).errno == nil else {
            return FileHandle(number: descriptor.rawValue, flags: 0)
        }
        return FileHandle(number: Int32(place), flags: EntryFlags.fixedFile)
    }

    /// Takes the file at `place` out of the kernel's table.
    func clear(_ place: Int, _ carrier: any Carrier) {
        guard isRegistered else { return }
        ReleaseFailures.note(set(-1, at: place, carrier))
    }

    private func set(_ descriptor: Int32, at place: Int, _ carrier: any Carrier) -> KernelResult {
        // SAFETY: as above: both pointers are used inside the closures that lend them.
        var update = cdma_uring_resource_update()
        update.offset = UInt32(place)
        update.count = 1
        return unsafe withUnsafePointer(to: descriptor) { descriptor in
            update.data = UInt64(UInt(bitPattern: descriptor))
            return unsafe withUnsafeMutablePointer(to: &update) {
                unsafe carrier.register(
                    RegisterOperation.filesUpdate, $0, UInt32(MemoryLayout<cdma_uring_resource_update>.size))
            }
        }
    }
}
