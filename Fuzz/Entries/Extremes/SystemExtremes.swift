// SPDX-License-Identifier: Apache-2.0

import DMABench
import DMACopy
import DMACore
import DMAUnits

extension Probe {
    mutating func copies() {
        for word in Self.words {
            self("ByteSize.text(\(word))") { _ = ByteSize.text(word) }
            self("PatternStream(seed: \(word))") {
                let stream = PatternStream(seed: word)
                for offset in Self.words {
                    _ = stream.byte(at: offset)
                    var bytes = [UInt8](repeating: 0, count: 100)
                    var span = bytes.mutableSpan
                    // SAFETY: every bit pattern of a byte is valid.
                    var raw = unsafe span.mutableBytes
                    stream.fill(&raw, at: offset)
                    _ = stream.firstMismatch(in: raw.bytes, at: offset)
                }
            }
            for other in Self.words {
                self("CopyPlanner.plan of \(word) and \(other) bytes") {
                    for kind in [FileKind.regular, .block, .pipe] {
                        var facts = CopyFacts()
                        facts.source = CopyFacts.Side(
                            kind: kind, size: word, data: other, cachedBytes: other,
                            directAlignment: UInt32(truncatingIfNeeded: word), device: other, largestRequest: word)
                        facts.target = CopyFacts.Side(
                            kind: .regular, size: other, directAlignment: UInt32(truncatingIfNeeded: other),
                            largestRequest: other)
                        (facts.freeMemory, facts.lockable, facts.page, facts.engine) = (word, other, word, "io_uring")
                        for treatment in [TargetTreatment.replace, .resume, .append, .inPlace] {
                            var options = CopyOptions()
                            options.treatment = treatment
                            guard let plan = try? CopyPlanner.plan(facts, options) else { continue }
                            _ = plan.choices.count
                            (options.rate, options.chunk, options.verifies) = (word, other, true)
                            _ = try? CopyPlanner.plan(facts, options)
                        }
                    }
                }
                self("CopyPlan.check of \(word) and \(other)") {
                    var plan = CopyPlan()
                    (plan.chunk, plan.depth) = (word, Int(truncatingIfNeeded: other))
                    plan.version = Int(truncatingIfNeeded: word)
                    try? plan.check()
                    plan.version = 1
                    try plan.check()
                }
            }
        }
        for real in Self.reals {
            self("ByteSize.text(rate: \(real))") { _ = ByteSize.text(rate: real) }
            self("CopyOptions.share \(real)") {
                var options = CopyOptions()
                options.share = real
                options.mode = .cycleStealing
                try options.check()
                _ = try CopyPlanner.plan(CopyFacts(), options)
            }
        }
        for integer in Self.integers {
            self("CopyOptions.depth \(integer)") {
                var options = CopyOptions()
                options.depth = integer
                try? options.check()
                _ = try CopyPlanner.plan(CopyFacts(), options)
            }
            self("CopyTask of 64 KiB at \(integer) bytes a second") {
                var options = CopyOptions()
                options.rate = UInt64(truncatingIfNeeded: integer)
                // Slower rates would take too long.
                guard options.rate ?? 0 > 1 << 20 else { return }
                _ = try Copier().copy(from: .pattern(seed: 1, size: 65_536), to: .null, options)
            }
        }
    }

    mutating func benches() {
        for integer in Self.integers {
            self("ByteSize.exact(\(integer))") { _ = ByteSize.exact(integer) }
            self("BenchCase of \(integer)") {
                var one = BenchCase()
                (one.sizes, one.depths, one.threads) = ([integer], [integer], [integer])
                one.engines = ["cpu"]
                let plan = BenchPlan(cases: [one, one])
                _ = plan.mostPoints
                _ = one.points(["cpu"]).map(\.besideMemcpy)
            }
        }
        for real in Self.reals {
            self("Statistics of \(real)") {
                for other in Self.reals {
                    let values = [real, other, 1]
                    _ = (Statistics.median(values), Statistics.spread(values), Statistics.quantile(values, real))
                }
            }
        }
    }
}
