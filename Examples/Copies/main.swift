// SPDX-License-Identifier: Apache-2.0
// The guide's chapter on copies, as a program. Its files lie in a directory that is deleted afterwards.

import DMA

// snippet: copy
import DMACopy

func backUp(_ path: String, to name: String) async throws(CopyFailure) -> CopyReport {
    let source = try Endpoint(path)
    let target = try Endpoint(name)
    var options = CopyOptions()
    options.verifies = true
    let copier = Copier()
    let plan = try copier.plan(from: source, to: target, options)
    for choice in plan.choices { print("\(choice.name): \(choice.value), because: \(choice.reason)") }
    return try await copier.copy(from: source, to: target, options, plan: plan) { progress in
        print("\(progress.phase): \(progress.bytes) bytes, \(Int((progress.fraction ?? 0) * 100)) %")
    }
}
// end

func compare(_ path: String) async throws(CopyFailure) {
    // snippet: compare
    let compared = try await Copier().copy(from: .path(path), to: .pattern(seed: 7, size: nil))
    print("\(compared.bytes) bytes are what the stream with seed 7 has there")
    // end
}

func load(_ path: String) throws -> Int {
    // snippet: buffer
    let memory = CopyBuffer(try Buffer(count: 64 << 20))
    let report = try Copier().copy(from: .path(path), to: .buffer(memory))
    guard let buffer = memory.take() else { return 0 }
    print("\(report.bytes) bytes in a buffer of \(buffer.count)")
    // end
    return buffer.count
}

func cancel(_ path: String) async {
    // snippet: cancel
    let task = Task {
        var options = CopyOptions()
        options.rate = 1 << 20
        return try await Copier().copy(from: .zero(1 << 30), to: .path(path), options)
    }
    task.cancel()
    do {
        _ = try await task.value
    } catch let failure as CopyFailure where failure.code == .cancelled {
        print("\(failure.possible); the file is what it was")
    } catch {
        print("failed before it could be stopped: \(error)")
    }
    // end
}

func follow(_ plan: CopyPlan, from source: Endpoint, to target: Endpoint) throws(CopyFailure) {
    // snippet: change
    var changed = plan
    changed.path = .engine
    changed.engine = "io_uring"
    changed.chunk = 256 << 10
    changed.depth = 4
    let report = try Copier().copy(from: source, to: target, plan: changed)
    print("\(report.engine): \(report.bytes) bytes in \(report.copyNanoseconds / 1000) µs")
    for note in report.notes { print("not as planned: \(note)") }
    // end
}

let scratch = try Scratch()
defer { scratch.end() }
_ = try await Copier().copy(from: .pattern(seed: 7, size: 32 << 20), to: .path(scratch.original))
let report = try await backUp(scratch.original, to: scratch.backup)
try follow(report.plan, from: .path(scratch.original), to: .path(scratch.backup))
await cancel(scratch.backup)
try await compare(scratch.backup)
_ = try load(scratch.backup)
print("copies: \(report.bytes) bytes, verified: \(report.verified); there are \(try scratch.names())")
