// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The steady path retains nothing, releases nothing, allocates nothing, checks no exclusivity and takes no lock.
///
/// Two analyses of the same release build, because each detects what the other cannot. The listing contains every call in a hot
/// function, including those that this run did not reach; the run shows what was executed for each operation, also in functions
/// that the list does not name. A hot function may contain a call to a helper off the steady path only if the list names the
/// helper.
public enum HotPath {
    /// The list of declarations, one a line: `hot VARIANT = FUNCTION`, `cold = FUNCTION`, `within FUNCTION = TARGET`, `atomics
    /// VARIANT = NUMBER`, `caught VARIANT = FUNCTION by FAULT`.
    public struct Declaration: Equatable {
        /// A variant that is wrong on purpose, and its expected finding.
        public struct Counterexample: Equatable {
            public let variant: String
            public let function: String
            public let fault: String
        }

        /// For each variant the functions of its steady path; with a trailing `*`, those of another library by prefix.
        public var hot: [String: [String]] = [:]
        /// Helpers that hot functions may call, but not for each operation.
        public var cold: [String] = []
        /// Such helpers of one function only, including runtime functions.
        public var within: [String: [String]] = [:]
        /// Variants that may lock, checked by their run alone: no allocator functions, and at most this many atomic
        /// read-modify-writes.
        public var atomics: [String: Int] = [:]
        /// Variants in which both analyses must find something, to prove that they detect it.
        public var caught: [Counterexample] = []
        public init() {}
    }

    /// - Throws: `CannotCheck` with the number of an invalid line.
    public static func declaration(_ path: String, _ text: String) throws(CannotCheck) -> Declaration {
        var declaration = Declaration()
        for (index, line) in lines(of: text).enumerated() where !line.hasPrefix("#") && !line.isEmpty {
            let sides = line.split(separator: " = ", maxSplits: 1)
            let head = sides[0].split(separator: " ", maxSplits: 1).map(String.init)
            let isWhole = sides.count == 2 && head.count == (head.first == "cold" ? 1 : 2)
            let fault = line.range(of: " by ")
            switch head.first {
            case "hot" where isWhole: declaration.hot[head[1], default: []].append(String(sides[1]))
            case "cold" where isWhole: declaration.cold.append(String(sides[1]))
            case "within" where isWhole: declaration.within[head[1], default: []].append(String(sides[1]))
            case "atomics" where isWhole && Int(sides[1]) != nil: declaration.atomics[head[1]] = Int(sides[1])
            case "caught" where isWhole && fault != nil:
                guard let fault else { continue }
                let function = String(line[sides[1].startIndex..<fault.lowerBound])
                declaration.caught.append(
                    Declaration.Counterexample(variant: head[1], function: function, fault: String(line[fault.upperBound...])))
            default: throw CannotCheck("\(path):\(index + 1): error: not a declaration; cure: hot VARIANT = FUNCTION")
            }
        }
        return declaration
    }

    /// Runtime functions that are forbidden on a hot path, also in the functions that it calls.
    static let forbidden = [
        "swift_retain", "swift_release", "swift_bridgeObject", "swift_unknownObject", "swift_weak", "swift_unowned",
        "swift_allocObject",
        "swift_deallocClassInstance", "swift_dealloc", "swift_slowAlloc", "swift_slowDealloc", "malloc", "calloc", "realloc",
        "free",
        "posix_memalign", "swift_beginAccess", "swift_endAccess", "swift_once", "pthread_", "syscall",
        "swift_getGenericMetadata",
    ]

    static func isForbidden(_ name: String) -> Bool {
        let bare = name.split(separator: "@").first.map(String.init) ?? name
        return forbidden.contains {
            bare == $0 || $0.hasPrefix("swift_") && bare.hasPrefix($0) || $0.hasSuffix("_") && bare.hasPrefix($0)
        }
    }

    /// Those of them that allocate and free.
    private static let allocators = [
        "swift_alloc", "swift_dealloc", "swift_slowAlloc", "swift_slowDealloc", "malloc", "calloc", "realloc", "free",
        "posix_memalign",
        "_int_malloc", "_int_free",
    ]

    /// The check of a variant that may lock: for each operation nothing that allocates, and at most `most` atomic
    /// read-modify-writes.
    public static func atomics(
        _ variant: String, _ most: Int, _ steady: Set<Callgrind.Place>, program: String, _ code: Disassembly,
        declaredIn path: String
    ) -> [Finding] {
        if steady.isEmpty {
            return [Finding(path, 0, "\(variant) ran no instruction for each operation", cure: "count more operations")]
        }
        var findings: [Finding] = []
        let names = Set(steady.map(\.function)).filter { name in
            allocators.contains { name == $0 || $0.hasPrefix("swift_") && name.hasPrefix($0) }
        }
        for name in names.sorted() {
            findings.append(
                Finding(
                    path, 0, "\(variant) runs \(name) for each operation",
                    cure: "find what allocates there: Benchmarks/count --show \(variant)"))
        }
        let addresses = Set(steady.filter { $0.object == program }.map(\.address))
        let locked = code.functions.flatMap(\.instructions).filter { $0.isLocked && addresses.contains($0.address) }
        if locked.count > most {
            findings.append(
                Finding(
                    path, 0,
                    "\(variant) runs \(locked.count) atomic read-modify-writes for each operation, \(most) at most: "
                        + locked.map(\.text).joined(separator: "; "),
                    cure: "take the lock once, and keep no counters that threads share"))
        }
        return findings
    }

    /// The first analysis: the listing of each hot function.
    public static func listing(
        _ functions: [String], cold: [String], within: [String: [String]] = [:], _ code: Disassembly, declaredIn path: String
    ) -> [Finding] {
        var findings: [Finding] = []
        for name in functions where !name.hasSuffix("*") {
            let bodies = code.functions.filter { $0.name == name }
            if bodies.isEmpty {
                findings.append(
                    Finding(path, 0, "the program has no function \(name)", cure: "mark it @inline(never), or correct the name")
                )
            }
            for body in bodies {
                for instruction in body.instructions {
                    if instruction.isLocked {
                        findings.append(
                            Finding(
                                code.path, instruction.line, "\(name) holds an atomic read-modify-write: \(instruction.text)",
                                cure: "keep state shared between threads off the steady path"))
                    }
                    guard let target = instruction.target, target != name, !(within[name] ?? []).contains(target) else {
                        continue
                    }
                    if isForbidden(target) {
                        findings.append(
                            Finding(
                                code.path, instruction.line, "\(name) calls \(target)",
                                cure:
                                    "keep hot state in noncopyable structs of trivial fields; move cold code to a separate function"
                            ))
                    } else if !functions.contains(target), !cold.contains(target) {
                        findings.append(
                            Finding(
                                code.path, instruction.line, "\(name) calls \(target), which is not declared cold",
                                cure: "inline it, or, if it is off the steady path, add `cold = \(target)` to \(path)"))
                    }
                }
            }
        }
        return findings
    }

    /// The second analysis: the instructions that ran for each operation.
    public static func run(
        _ variant: String, _ functions: [String], _ steady: Set<Callgrind.Place>, program: String, _ code: Disassembly,
        declaredIn path: String
    ) -> [Finding] {
        if steady.isEmpty {
            return [Finding(path, 0, "\(variant) ran no instruction for each operation", cure: "count more operations")]
        }
        var findings: [Finding] = []
        let prefixes = functions.filter { $0.hasSuffix("*") }.map { $0.dropLast() }
        let strangers = Dictionary(
            grouping: steady.filter { place in
                guard place.object == program else { return !prefixes.contains { place.function.hasPrefix($0) } }
                return !functions.contains(place.function)
            }
        ) { $0.function }
        for (function, places) in strangers.sorted(by: { $0.key < $1.key }) {
            let object = places[0].object == program ? "" : " of \(places[0].object)"
            findings.append(
                Finding(
                    path, 0, "\(variant) runs \(function)\(object) for each operation (\(places.count) instructions)",
                    cure: isForbidden(function)
                        ? "find what retains, allocates or locks there: Benchmarks/count --show \(variant)"
                        : "inline it, or, if it belongs to the steady path, add `hot \(variant) = \(function)`"))
        }
        let addresses = Set(steady.filter { $0.object == program }.map(\.address))
        for function in code.functions where functions.contains(function.name) {
            for instruction in function.instructions where addresses.contains(instruction.address) {
                guard instruction.isLocked || instruction.target.map(isForbidden) ?? false else { continue }
                findings.append(
                    Finding(
                        code.path, instruction.line, "\(variant) runs `\(instruction.text)` for each operation",
                        cure: "move it off the steady path"))
            }
        }
        return findings
    }
}
