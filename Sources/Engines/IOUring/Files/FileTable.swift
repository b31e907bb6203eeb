// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import SystemPackage

/// The part of a file's state that the fast path reads.
@usableFromInline @frozen
struct FileEntry {
    /// A read, or a write, is one plain request if address, position and length have none of these bits. All ones where none
    /// is.
    @usableFromInline var readMask: UInt64
    @usableFromInline var writeMask: UInt64
    /// The file's name in requests, and its flag.
    @usableFromInline var descriptor: Int32
    @usableFromInline var flags: UInt8
    /// The number of transactions that name the file.
    @usableFromInline var inFlight: UInt32

    init() {
        readMask = .max
        writeMask = .max
        descriptor = -1
        flags = 0
        inFlight = 0
    }
}

/// The kind of a file.
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

/// The name of an open file description in requests: its index in the kernel's table if the flag says so, otherwise its
/// descriptor.
struct FileHandle {
    var number: Int32
    var flags: UInt8
    /// For requests without a file.
    static let none = FileHandle(number: -1, flags: 0)
}

/// The state of an attached file beside its entry.
struct FileRecord {
    var file: PeripheralFile
    var kind: FileKind
    /// The engine's own descriptors: through the page cache (or as it was opened), and with O_DIRECT.
    var owned: FileDescriptor
    var ownedDirect: FileDescriptor?
    var handle: FileHandle
    var direct: FileHandle?
    /// Set where the file is the generic node of an NVMe namespace.
    var namespace: NVMeNamespace?
    /// The alignments of direct transfers, less 1: of memory, and of positions and lengths of reads and of writes. Bytes.
    var memoryMask: UInt64 = 0
    var readMask: UInt64 = 0
    var writeMask: UInt64 = 0
    var gate = WriteGate()
    /// Running direct writes that are slow-path transactions.
    var openDirect = 0
    /// Whether sends to a socket may use zero-copy.
    var sendsZeroCopy = true
    /// Transactions that wait for their turn on a stream, by slot: one reads at a time, and one writes.
    var readers: [Int] = []
    var writers: [Int] = []

    /// The fast path's part: a direct file's alignments where it has a direct description.
    var entryReadMask: UInt64 { !kind.hasPositions ? .max : direct == nil ? 0 : readMask | memoryMask }
    var entryWriteMask: UInt64 { !kind.hasPositions ? .max : direct == nil ? 0 : writeMask | memoryMask }

    var isStream: Bool { namespace == nil && !kind.hasPositions }
}

/// An engine's files, and their indices in the kernel's table.
struct FileTable {
    var records: [FileRecord?]
    /// Whether a table is registered with the kernel: two entries for each file.
    private(set) var isRegistered = false

    init(_ capacity: Int) { records = Array(repeating: nil, count: capacity) }

    /// Registers an empty table with the kernel.
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

    /// The name of `descriptor` in requests; it has index `place` in the kernel's table if there is one.
    func handle(_ descriptor: FileDescriptor, at place: Int, _ carrier: any Carrier) -> FileHandle {
        guard isRegistered, set(descriptor.rawValue, at: place, carrier).errno == nil else {
            return FileHandle(number: descriptor.rawValue, flags: 0)
        }
        return FileHandle(number: Int32(place), flags: EntryFlags.fixedFile)
    }

    /// Removes the file at `place` from the kernel's table.
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
