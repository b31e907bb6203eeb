// SPDX-License-Identifier: Apache-2.0

internal import DMAEngineKit

/// The operand list of the piece that the engine below holds: memory that the engine reads until the piece has ended.
///
/// Owned by one ``PacedEngine``, which writes it only while no piece is in flight.
@safe
struct PieceList {
    /// The maximum number of segments that a channel gives a transaction, whatever an engine declares.
    private static let ceiling = 4096
    /// Lists that an engine may still read because it could not be stopped, as addresses: never freed (rule 18).
    private static let parked = Locked<[UInt]>([])

    /// Nil where the engine has no operation with a list.
    @unsafe let segments: UnsafeMutablePointer<Segment>?
    /// The capacity in segments.
    let capacity: Int

    init(_ capabilities: Capabilities) {
        let several: OperationSet = [.xor, .xorValidate, .pq, .pqValidate, .scatterGather, .peripheral]
        guard !capabilities.operations.isDisjoint(with: several) else {
            unsafe segments = nil
            capacity = 0
            return
        }
        // XOR and PQ name their sources and at most two destinations.
        let sources = min(max(capabilities.maximumSources, 0), Self.ceiling) + 2
        capacity = min(max(capabilities.maximumSegments, sources, 2), Self.ceiling)
        // SAFETY: the memory is this value's own until `deallocate` or `park`, of which its owner calls one, once.
        unsafe segments = .allocate(capacity: capacity)
        unsafe segments?.initialize(repeating: Segment(address: 0, count: 0), count: capacity)
    }

    /// Whether the operands of a descriptor fit.
    func holds(_ descriptor: Descriptor) -> Bool {
        // SAFETY: the pointer is only compared with nil.
        guard unsafe descriptor.operands != nil else { return true }
        return Int(descriptor.sourceCount) + Int(descriptor.destinationCount) <= capacity
    }

    /// Frees the list, which no engine reads any more.
    func deallocate() {
        // SAFETY: allocated by `init`, and the owner ends with this call.
        unsafe segments?.deallocate()
    }

    /// Leaks the list, which an engine may still read, for the life of the process.
    func park() {
        // SAFETY: the address is stored as a number and never dereferenced.
        guard let segments = unsafe segments else { return }
        let address = UInt(bitPattern: segments)
        Self.parked.withLock { $0.append(address) }
    }

    /// The number of leaked lists.
    static var parkedCount: Int { parked.withLock { $0.count } }
}
