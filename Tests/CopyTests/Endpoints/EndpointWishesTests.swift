// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import Testing

@testable import DMACopy

@Suite("Wishes that the endpoints cannot follow are refused, not left out", .serialized)
struct EndpointWishesTests {
    private typealias Wish = (subject: String, change: (inout CopyOptions) -> Void)

    private func expectRefused(
        _ wishes: [Wish], from source: Endpoint, to target: Endpoint, at location: SourceLocation = #_sourceLocation
    ) {
        for wish in wishes {
            var options = CopyOptions()
            wish.change(&options)
            for plans in [true, false] {
                #expect("\(wish.subject)", sourceLocation: location) {
                    if plans {
                        _ = try Copier().plan(from: source, to: target, options)
                    } else {
                        _ = try Copier().copy(from: source, to: target, options)
                    }
                } throws: { ($0 as? CopyFailure)?.code == .badOption && ($0 as? CopyFailure)?.subject == wish.subject }
            }
        }
    }

    private let treatments: [Wish] = [
        ("append", { $0.treatment = .append }), ("resume", { $0.treatment = .resume }),
        ("in-place", { $0.treatment = .inPlace }),
    ]
    private let ofDevices: [Wish] = [
        ("overwritesDevices", { $0.overwritesDevices = true }), ("discards", { $0.discards = true }),
    ]
    private let attributes: [Wish] = [("preserves", { $0.preserves = true })]

    @Test("to nothing, to a pipe, to a new file and to one that is there")
    func kinds() throws {
        let scratch = try Scratch()
        try scratch.write("a", [1])
        try scratch.write("b", [2])
        try Command.run(["mkfifo", scratch.at("p")])
        let file = Endpoint.path(scratch.at("a"))
        for target in [Endpoint.null, .path(scratch.at("p"))] {
            expectRefused(treatments + ofDevices + attributes, from: file, to: target)
        }
        for name in ["b", "new"] { expectRefused(ofDevices, from: file, to: .path(scratch.at(name))) }
        expectRefused(attributes, from: .zero(1), to: .path(scratch.at("b")))
        expectRefused([("resume", { $0.treatment = .resume })], from: .zero(1), to: .path(scratch.at("b")))
        expectRefused(
            [("preserves", { ($0.preserves, $0.treatment) = (true, .append) })], from: file, to: .path(scratch.at("b")))
        #expect(try scratch.read("b") == [2] && scratch.names() == ["a", "b", "p"])
    }

    @Test("to a block device", .enabled(if: Machine.hasLoops, Comment(rawValue: Machine.withoutLoops)))
    func device() throws {
        let scratch = try Scratch()
        try scratch.write("a", [1, 2, 3])
        let device = try scratch.loop(1 << 20)
        let confirmed = (treatments + attributes).map { wish -> Wish in
            (
                wish.subject,
                {
                    wish.change(&$0)
                    $0.overwritesDevices = true
                }
            )
        }
        expectRefused(confirmed, from: .path(scratch.at("a")), to: .path(device))
        #expect(try Command.shell("tr -d '\\0' < \(device) | wc -c").output == "0\n")
    }

    @Test("an engine that is not there, or that reaches no files, before the target is touched")
    func engine() throws {
        let scratch = try Scratch()
        try scratch.write("a", [1, 2, 3])
        try scratch.write("b", [9])
        for (name, reason) in [("nope", "there is no such engine"), ("cpu", "it cannot read and write files")] {
            var options = CopyOptions()
            (options.engine, options.treatment) = (name, .inPlace)
            #expect {
                _ = try Copier().copy(from: .path(scratch.at("a")), to: .path(scratch.at("b")), options)
            } throws: { error in
                guard let failure = error as? CopyFailure else { return false }
                return failure.possible == reason && failure.cure.contains("io_uring") && !"\(failure)".contains("--")
            }
        }
        #expect(try scratch.read("b") == [9])
    }
}
