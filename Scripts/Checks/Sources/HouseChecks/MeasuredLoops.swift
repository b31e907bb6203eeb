// SPDX-License-Identifier: Apache-2.0

/// Checks that the release build still contains each measured loop with its work inside. An optimizer removes work whose result is unused, and
/// the benchmark then measures an empty loop.
public enum MeasuredLoops {
    /// Part of a function's name, and the prefix of an instruction that one of the function's loops must contain.
    public struct Declaration: Equatable {
        public let function: String
        public let work: String
        public let line: Int
    }

    /// The list of declarations, one a line: `loop FUNCTION = INSTRUCTION`.
    ///
    /// - Throws: `CannotCheck` with the number of an invalid line, or where there is none at all.
    public static func declarations(_ path: String, _ text: String) throws(CannotCheck) -> [Declaration] {
        var declarations: [Declaration] = []
        for (index, line) in lines(of: text).enumerated() where !line.hasPrefix("#") && !line.isEmpty {
            let sides = line.split(separator: " = ", maxSplits: 1)
            guard sides.count == 2, sides[0].hasPrefix("loop "), !sides[1].isEmpty else {
                throw CannotCheck("\(path):\(index + 1): error: not a declaration; cure: loop FUNCTION = INSTRUCTION")
            }
            declarations.append(
                Declaration(function: String(sides[0].dropFirst(5)), work: String(sides[1]), line: index + 1))
        }
        guard !declarations.isEmpty else { throw CannotCheck("\(path): declares no loop") }
        return declarations
    }

    /// The missing loops.
    public static func check(_ path: String, _ declarations: [Declaration], _ code: Disassembly) -> [Finding] {
        var findings: [Finding] = []
        for declaration in declarations {
            let bodies = code.functions.filter { $0.name.contains(declaration.function) }
            if bodies.isEmpty {
                findings.append(
                    Finding(
                        path, declaration.line, "\(code.path) has no function \(declaration.function)",
                        cure: "mark it @inline(never), or correct the name"))
            } else if !bodies.contains(where: { holds($0, declaration.work) }) {
                findings.append(
                    Finding(
                        path, declaration.line,
                        "no loop of \(declaration.function) holds `\(declaration.work)`: its work was left out",
                        cure: "keep what it computes (cdma_keep), or correct the instruction"))
            }
        }
        return findings
    }

    /// Whether an instruction with this prefix lies between a backward jump and its target.
    static func holds(_ function: Disassembly.Function, _ work: String) -> Bool {
        guard let first = function.instructions.first?.address else { return false }
        let loops = function.instructions.compactMap { jump -> ClosedRange<UInt64>? in
            guard jump.text.hasPrefix("j"), let target = target(jump.text), target >= first, target <= jump.address else {
                return nil
            }
            return target...jump.address
        }
        let wanted = words(work)
        return function.instructions.contains { instruction in
            words(instruction.text).starts(with: wanted) && loops.contains { $0.contains(instruction.address) }
        }
    }

    /// The target of a jump: `jne    1010 <name+0x10>`.
    private static func target(_ text: String) -> UInt64? {
        let parts = words(text)
        return parts.count > 1 ? UInt64(parts[1], radix: 16) : nil
    }

    /// The words of an instruction; for a call to a function, the opcode and the function's name.
    private static func words(_ text: String) -> [String] {
        var parts = text.split(separator: " ").map(String.init)
        if parts.first == "call", parts.count > 2, parts[2].hasPrefix("<") { parts.remove(at: 1) }
        return parts
    }
}
