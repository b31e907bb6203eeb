// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DMA
import DMABench
import DMACPUEngine
import DMACopy
import DMACore
import DMAEngineKit
import DMASelfTest
import DMATestSupport
import Foundation
import Testing

@testable import DMATool

/// A device that a waiver lets go without an IOMMU says so wherever it shows.
@Suite("Waivers", .serialized)
struct PolicyTests {
    private static let sentence = "no IOMMU isolates device 8086:1521 in slot 0000:03:00.0; waived by the policy: a test"

    private func system(_ text: String = "waive 0000:03:00.0 a test\n") throws -> DMASystem {
        DMASystem(providers: [CardProvider()], policy: try DevicePolicy(parsing: Array(text.utf8)))
    }

    @Test("in the listing, as text and as JSON; a refused device says what to write")
    func listed() throws {
        let engines = try system().engines
        let text = try ListCommand.parse(["--verbose"]).text(engines)
        #expect(text.contains("card: \(Self.sentence)"))
        #expect(text.contains("8086:1521 in slot 0000:03:00.0, no IOMMU"))
        #expect(text.contains("3: blocks of 4096 B, 1 GiB, transfers up to 128 KiB"))
        let listed = try JSONSerialization.jsonObject(with: Data(try ListCommand.parse(["--json"]).text(engines).utf8))
        let entries = try #require((listed as? [String: Any])?["engines"] as? [[String: Any]])
        let device = try #require(entries.first?["device"] as? [String: String])
        #expect(device == ["id": "8086:1521", "slot": "0000:03:00.0", "isolation": "no IOMMU", "waiver": Self.sentence])
        let facts = try #require((entries.first?["peripherals"] as? [[String: Int]])?.first)
        #expect(facts == ["number": 3, "blockBytes": 4096, "capacityBytes": 1 << 30, "maximumTransferBytes": 1 << 17])
        let refused = try ListCommand.parse([]).text(system("").engines)
        #expect(refused.contains("card: absent: no IOMMU isolates device 8086:1521 in slot 0000:03:00.0"))
        #expect(refused.contains("add \"waive 0000:03:00.0 REASON\" to the policy"))
    }

    @Test("in a test's report, and a refused device is not tested")
    func tested() async throws {
        let words = ["--noverify", "--duration", "0.1", "--test-buf-size", "4096", "--engine", "card", "--operation", "copy"]
        let system = try system()
        for (form, shown) in [([], Self.sentence), (["--json"], "\"waivers\"")] {
            let command = try TestCommand.parse(words + form)
            let outcome = try command.outcome(try await command.test(on: system).run(on: system))
            #expect(outcome.passed && outcome.text.contains(shown), "\(outcome.text)")
        }
        let refused = try self.system("")
        let command = try TestCommand.parse(words)
        await #expect(throws: DMAError(.noSuchChannel)) { _ = try await command.test(on: refused).run(on: refused) }
    }

    @Test("in a benchmark's warnings, and a refused device is left out with the reason")
    func measured() async throws {
        var sweep = BenchCase()
        (sweep.engines, sweep.sizes, sweep.settings.repeats, sweep.settings.seconds) = (["card"], [4096], 1, 0.02)
        let plan = BenchPlan(cases: [sweep])
        let result = try await BenchRunner(plan, on: try system()).run()
        #expect(result.warnings.contains("card: \(Self.sentence)"))
        #expect(result.rows.contains { $0.point.engine == "card" && $0.bytesVerified > 0 && !$0.hasFailed })
        let refused = try await BenchRunner(plan, on: try system("")).run()
        #expect(refused.skipped.contains { $0.reason.contains("no IOMMU") })
        #expect(!refused.rows.contains { $0.point.engine == "card" })
    }

    @Test("in a copy's plan and report")
    func copied() throws {
        let scratch = try Scratch()
        let bytes = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 13) }
        try scratch.write("source", bytes)
        let policy = try DevicePolicy(parsing: Array("waive 0000:03:00.0 a test".utf8))
        let copier = Copier(system: DMASystem(providers: [DiskProvider()], policy: policy))
        var options = CopyOptions()
        options.engine = "disk"
        let (source, target) = (Endpoint.path(scratch.at("source")), Endpoint.path(scratch.at("target")))
        let plan = try copier.plan(from: source, to: target, options)
        #expect(plan.choices.first { $0.name == "engine" }?.reason.hasSuffix(Self.sentence) == true)
        let report = try copier.copy(from: source, to: target, options)
        #expect(report.notes.contains("disk: \(Self.sentence)"))
        #expect(try scratch.read("target") == bytes)
        let refused = Copier(system: DMASystem(providers: [DiskProvider()]))
        #expect(throws: CopyFailure.self) { try refused.copy(from: source, to: .path(scratch.at("second")), options) }
        #expect(!scratch.exists("second"))
    }

    @Test("dmactl reads the policy that DMA_POLICY names, and says the line where it is wrong")
    func environment() throws {
        let scratch = try Scratch()
        try scratch.write("wrong", Array("# fine\ntrust me\n".utf8))
        try scratch.write("right", Array("trust none\n".utf8))
        let wrong = try Program.run(["list"], environment: ["DMA_POLICY": scratch.at("wrong")])
        #expect(wrong.status == 64 && wrong.errors.contains("line 2: \"me\" is neither an ID"), "\(wrong.errors)")
        let missing = try Program.run(["list"], environment: ["DMA_POLICY": scratch.at("missing")])
        #expect(missing.status == 66 && missing.errors.contains("No such file"), "\(missing.errors)")
        // The engines of this package have no device, and are not judged.
        let right = try Program.run(["list"], environment: ["DMA_POLICY": scratch.at("right")])
        #expect(right.status == 0 && right.output.contains("cpu"), "\(right.errors)")
    }
}

private let card = DeviceIdentity(vendor: 0x8086, device: 0x1521, slot: DeviceSlot("0000:03:00.0")!, isolation: .none)

/// The CPU's engine as that of a card without an IOMMU.
private struct CardProvider: EngineProvider {
    func probe() -> [EngineOffer] {
        var offer = EngineOffer(
            name: "card", channels: 2, capabilities: CPUConfiguration(depth: 8).capabilities, device: card)
        offer.peripherals = [PeripheralFacts(number: 3, blockSize: 4096, capacity: 1 << 30, maximumTransfer: 1 << 17)]
        return [offer]
    }
    func open(_ offer: EngineOffer) throws(DMAError) -> EngineDevice {
        EngineDevice(offer) { _ throws(DMAError) in AnyEngine(try CPUEngine(CPUConfiguration(depth: 8))) }
    }
}

/// io_uring's engine as that of a card without an IOMMU.
private struct DiskProvider: EngineProvider {
    let base = IOUringProvider()
    func probe() -> [EngineOffer] {
        base.probe().map { offer in
            var offer = offer
            (offer.name, offer.device) = ("disk", card)
            return offer
        }
    }
    func open(_ offer: EngineOffer) throws(DMAError) -> EngineDevice {
        guard let real = base.probe().first else { throw DMAError(.deviceGone) }
        let device = try base.open(real)
        return EngineDevice(offer, domain: device.domain) { channel throws(DMAError) in try device.open(channel: channel) }
    }
}
