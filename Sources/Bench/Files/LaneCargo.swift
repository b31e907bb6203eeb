// SPDX-License-Identifier: Apache-2.0

internal import DMACore

/// What a lane's transactions own; before a block is written to a file, it is made the one of its place.
protocol LaneCargo: ~Copyable, Cargo {
    mutating func mark(_ walk: PlaceWalk, _ place: Int) throws(DMAError)
}

extension Block: LaneCargo {
    @inline(__always)
    mutating func mark(_ walk: PlaceWalk, _ place: Int) throws(DMAError) {
        try withMutableBytes { (bytes) throws(DMAError) in walk.mark(&bytes, place) }
    }
}

// No file transfer has these.
extension Pair: LaneCargo where First == Block, Second == Block {
    mutating func mark(_ walk: PlaceWalk, _ place: Int) {}
}
extension CargoList: LaneCargo where Element == Block {
    mutating func mark(_ walk: PlaceWalk, _ place: Int) {}
}

/// A lane's part of a file, and the number by which its channel knows the file.
struct AttachedFile {
    let region: FileRegion
    let number: UInt32
}
