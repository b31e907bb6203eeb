// SPDX-License-Identifier: Apache-2.0

/// One thing that is fuzzed: a function of bytes that must neither trap nor find anything wrong, whatever the bytes are.
public struct FuzzEntry: Sendable {
    /// What became of one input.
    public struct Outcome: Sendable {
        /// What is wrong; nil where nothing is.
        public var failure: String?
        /// Bytes of the input that were read until then.
        public var length: Int
        /// Steps of a program, or 1 for an input that is one thing.
        public var steps: Int
    }

    /// What it is called on a command line, and its corpus's folder.
    public let name: String
    /// Bytes of an input that are worth while, at most.
    public let length: Int
    /// Whether any bytes are a program: random ones are then as good as changed ones of the corpus.
    public let isProgram: Bool
    /// Does what the bytes say.
    public let run: @Sendable ([UInt8]) -> Outcome

    /// The entry of that name.
    public static func named(_ name: String) -> FuzzEntry? { all.first { $0.name == name } }

    /// Random programs over the public interface.
    static let channels = FuzzEntry(name: "channels", length: 1500, isProgram: true) { bytes in
        let outcome = ChannelProgram.run(bytes)
        return Outcome(failure: outcome.failure?.description, length: outcome.length, steps: outcome.steps)
    }

    /// Random programs over a table of foreign memory.
    static let foreign = FuzzEntry(name: "foreign", length: 1500, isProgram: true) { bytes in ForeignProgram.run(bytes) }

    /// An entry that has nothing to find but a trap.
    init(parser name: String, length: Int = 4096, _ parse: @escaping @Sendable ([UInt8]) -> String?) {
        self.init(name: name, length: length, isProgram: false) { bytes in
            Outcome(failure: parse(bytes), length: bytes.count, steps: 1)
        }
    }

    init(name: String, length: Int, isProgram: Bool, run: @escaping @Sendable ([UInt8]) -> Outcome) {
        self.name = name
        self.length = length
        self.isProgram = isProgram
        self.run = run
    }
}
