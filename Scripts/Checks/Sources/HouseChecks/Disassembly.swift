// SPDX-License-Identifier: Apache-2.0

/// A program's machine code as objdump lists it, by function.
public struct Disassembly {
    public struct Instruction: Equatable {
        public let address: UInt64
        public let text: String
        /// Counted from 1, in the listing.
        public let line: Int

        /// The function that a call or jump goes to, without an offset into it; nil where it stays inside, or goes through a
        /// register.
        public var target: String? {
            guard isCall || text.hasPrefix("j"), let open = text.firstIndex(of: "<"), text.last == ">" else { return nil }
            let name = text[text.index(after: open)...].dropLast()
            // `name+0x2c` is an address inside a function: another block of the same one.
            if let plus = name.lastIndex(of: "+"), name[plus...].hasPrefix("+0x") { return nil }
            return String(name)
        }
        public var isCall: Bool { text.hasPrefix("call") }
        /// An atomic read-modify-write: a lock, a reference count or a counter shared between threads. Exchanges lock
        /// implicitly.
        public var isLocked: Bool { text.hasPrefix("lock ") || text.hasPrefix("xchg") && text.contains("(") }
    }

    public struct Function {
        public let name: String
        public let line: Int
        public let instructions: [Instruction]
    }

    /// One name may have several: specializations.
    public let functions: [Function]
    public let path: String

    /// Parses `objdump -d --no-show-raw-insn`, whose names may have been demangled since.
    ///
    /// - Throws: `CannotCheck` where it contains no function.
    public init(_ text: String, path: String) throws(CannotCheck) {
        var functions: [Function] = []
        var open: (name: String, line: Int, instructions: [Instruction])?
        for (index, line) in lines(of: text).enumerated() {
            if line.hasSuffix(">:"), let begin = line.firstIndex(of: "<") {
                if let open { functions.append(Function(name: open.name, line: open.line, instructions: open.instructions)) }
                open = (String(line[line.index(after: begin)...].dropLast(2)), index + 1, [])
            } else if open != nil, let colon = line.firstIndex(of: ":"),
                let address = UInt64(line[..<colon].drop { $0 == " " }, radix: 16)
            {
                // In the plain listing a comment follows some operands.
                let text = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
                open?.instructions.append(Instruction(address: address, text: String(text), line: index + 1))
            }
        }
        if let open { functions.append(Function(name: open.name, line: open.line, instructions: open.instructions)) }
        guard !functions.isEmpty else { throw CannotCheck("\(path): contains no function; is it the output of objdump -d?") }
        self.functions = functions
        self.path = path
    }
}
