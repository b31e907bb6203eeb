// SPDX-License-Identifier: Apache-2.0

/// The cost of one run of a program, instruction by instruction, as valgrind's callgrind recorded it.
///
/// Reads the uncompressed form (`--dump-instr=yes --dump-line=no --compress-strings=no --compress-pos=no`), whose addresses are
/// those of the object's own symbol table.
public struct Callgrind {
    public struct Place: Hashable {
        public let object: String
        public let function: String
        public let address: UInt64

        public init(object: String, function: String, address: UInt64) {
            (self.object, self.function, self.address) = (object, function, address)
        }
    }

    /// Instructions in all.
    public let total: UInt64
    /// How often each instruction ran.
    public let executions: [Place: UInt64]

    /// - Throws: `CannotCheck` where the text has no total, as after an aborted run.
    public init(_ text: String, path: String) throws(CannotCheck) {
        var total: UInt64?
        var executions: [Place: UInt64] = [:]
        var object = ""
        var function = ""
        // The line after `calls=` is the cost of the callee, which has lines of its own.
        var isCost = true
        for line in text.split(separator: "\n") {
            if line.hasPrefix("0x") {
                defer { isCost = true }
                guard isCost, let space = line.firstIndex(of: " "), let count = UInt64(line[line.index(after: space)...]),
                    let address = UInt64(line[..<space].dropFirst(2), radix: 16)
                else { continue }
                executions[Place(object: object, function: function, address: address), default: 0] += count
            } else if line.hasPrefix("calls=") {
                isCost = false
            } else if line.hasPrefix("fn=") {
                function = String(line.dropFirst(3))
            } else if line.hasPrefix("ob=") {
                object = String(line.dropFirst(3))
            } else if line.hasPrefix("summary: ") {
                total = UInt64(line.dropFirst(9))
            }
        }
        guard let total else { throw CannotCheck("\(path): has no sum of instructions; did the program exit normally?") }
        self.total = total
        self.executions = executions
    }

    /// The instructions that ran again for each further operation, at least most of the time: the steady path.
    public static func steady(_ few: Callgrind, _ many: Callgrind, operations: UInt64) -> Set<Place> {
        var steady: Set<Place> = []
        for (place, count) in many.executions {
            let before = few.executions[place] ?? 0
            if count > before, (count - before) * 2 > operations { steady.insert(place) }
        }
        return steady
    }
}
