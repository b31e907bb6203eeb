// SPDX-License-Identifier: Apache-2.0
// The guide's chapter on copies, as a program. Its files are in a folder that is removed at the end.

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
    print("\(compared.bytes) bytes are equal to the stream with seed 7")
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
        print("\(failure.possible); the file is unchanged")
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

func rescue(_ disk: String, to image: String) throws {
    // snippet: rescue
    let rescued = try Copier().rescue(from: .path(disk), to: .path(image), map: CopyPath(image + ".map"), retries: 2)
    print("\(rescued.rescued) of \(rescued.size) bytes are in the image")
    if !rescued.isWhole { print("\(rescued.bad) bytes in \(rescued.badAreas) areas could not be read") }
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
try rescue(scratch.original, to: scratch.backup + ".img")
print("copies: \(report.bytes) bytes, verified: \(report.verified); there are \(try scratch.names())")
