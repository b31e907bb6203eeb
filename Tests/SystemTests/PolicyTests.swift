// SPDX-License-Identifier: Apache-2.0

import DMA
import DMACore
import DMAEngineKit
import DMATestSupport
import Foundation
import Testing

@Suite("The device policy")
struct PolicyTests {
    private static func device(_ isolation: DeviceIdentity.Isolation, slot: String = "0000:03:00.0") -> DeviceIdentity {
        DeviceIdentity(vendor: 0x8086, device: 0x1521, slot: DeviceSlot(slot)!, isolation: isolation)
    }

    private func policy(_ text: String) throws(DevicePolicy.Failure) -> DevicePolicy {
        try DevicePolicy(parsing: Array(text.utf8))
    }

    private func system(_ device: DeviceIdentity?, _ policy: DevicePolicy) -> (DMASystem, ScriptedProvider) {
        let provider = ScriptedProvider([ScriptedProvider.offer("card", device: device)])
        return (DMASystem(providers: [provider], policy: policy), provider)
    }

    @Test("a device without an IOMMU is refused and never opened", arguments: [DeviceIdentity.Isolation.none, .unknown])
    func notIsolated(_ isolation: DeviceIdentity.Isolation) throws {
        let (system, provider) = system(Self.device(isolation), DevicePolicy())
        #expect(refusal(system, ChannelRequest(.copy)) == DMAError(.deviceNotIsolated, asked: 0x8086_1521))
        #expect(refusal(system, ChannelRequest(name: "card/1")) == DMAError(.deviceNotIsolated, asked: 0x8086_1521))
        let listing = try #require(system.engines.first)
        #expect(listing.offer.absence?.reason.contains("8086:1521 in slot 0000:03:00.0") == true)
        #expect(listing.offer.absence?.cure.contains("waive 0000:03:00.0") == true)
        #expect(listing.waiver == nil && listing.channelNames.isEmpty)
        #expect(throws: DMAError(.deviceNotIsolated, asked: 0x8086_1521)) { _ = try system.use(listing) }
        #expect(provider.script.withLock { $0.opened.isEmpty })
    }

    @Test("behind an IOMMU it is granted, and an engine without a device is not checked")
    func isolated() throws {
        for device in [Self.device(.iommu), nil] {
            let (system, _) = system(device, DevicePolicy())
            #expect(refusal(system, ChannelRequest(.copy)) == nil)
            #expect(system.engines.first?.waiver == nil)
        }
        #expect(refusal(DMASystem(providers: [CPUProvider()], policy: DevicePolicy(trusted: [])), ChannelRequest(.copy)) == nil)
    }

    @Test("a waiver names one slot, and is shown in the listing and to the client that opens it")
    func waived() throws {
        let policy = try policy("waive 0000:03:00.0 a laboratory machine\n")
        let (system, _) = system(Self.device(.none), policy)
        #expect(refusal(system, ChannelRequest(.copy)) == nil)
        let listing = try #require(system.engines.first)
        let sentence = "no IOMMU isolates device 8086:1521 in slot 0000:03:00.0; waived by the policy: a laboratory machine"
        #expect(listing.waiver == sentence && listing.offer.absence == nil)
        #expect(try system.use(listing).waiver == sentence)
        #expect(try system.grantEngine(ChannelRequest(.copy)).waiver == sentence)
        let (other, _) = self.system(Self.device(.none, slot: "0000:04:00.0"), policy)
        #expect(refusal(other, ChannelRequest(.copy))?.code == .deviceNotIsolated)
    }

    @Test("trusted by ID, by slot or by both; a waiver does not imply trust")
    func trusted() throws {
        for (text, isTrusted) in [
            ("trust 8086:1521", true), ("trust 8086:1522", false), ("trust 0000:03:00.0", true), ("trust 03:00.0", true),
            ("trust 0000:03:00.1", false), ("trust 8086:1521 0000:03:00.0", true), ("trust 8086:1521 0000:04:00.0", false),
            ("trust none", false), ("", true), ("trust 144d:a808\ntrust 8086:1521", true),
        ] {
            let (system, _) = system(Self.device(.iommu), try policy(text))
            let expected = isTrusted ? nil : DMAError(.deviceNotTrusted, asked: 0x8086_1521)
            #expect(refusal(system, ChannelRequest(.copy)) == expected, "\(text)")
        }
        let (system, _) = system(Self.device(.none), try policy("trust none\nwaive 0000:03:00.0 why not"))
        #expect(refusal(system, ChannelRequest(.copy))?.code == .deviceNotTrusted)
    }

    @Test("another card in the slot than the offered one is checked again, and closed")
    func exchanged() throws {
        let policy = try policy("trust 8086:1521\n")
        let (system, provider) = system(Self.device(.iommu), policy)
        var other = Self.device(.iommu)
        other.device = 0xdead
        provider.set("card", .differs(identity: other))
        #expect(refusal(system, ChannelRequest(.copy)) == DMAError(.deviceNotTrusted, asked: 0x8086_dead))
        #expect(provider.script.withLock { $0.opened == ["card": 1] && $0.isOpen.isEmpty && $0.channels.isEmpty })
        other = Self.device(.none)
        provider.set("card", .differs(identity: other))
        #expect(refusal(system, ChannelRequest(.copy)) == DMAError(.deviceNotIsolated, asked: 0x8086_1521))
        #expect(provider.script.withLock { $0.isOpen.isEmpty })
    }

    @Test("the next device is used where the policy refuses one")
    func next() throws {
        let provider = ScriptedProvider([
            ScriptedProvider.offer("bad", device: Self.device(.none)),
            ScriptedProvider.offer("good", device: Self.device(.iommu, slot: "0000:05:00.0")),
        ])
        let system = DMASystem(providers: [provider])
        #expect(try system.requestChannel(ChannelRequest(.copy), of: MappedBuffer.self).info.engine == "good")
    }

    @Test("an invalid policy is refused with its line")
    func badTexts() throws {
        let waiver = "waive 0000:03:00.0 "
        for (text, line, word) in [
            ("trust", 1, "followed by 0 words"), ("\n# x\ntrust 8086", 3, "8086"), ("trust 8086:15210", 1, "8086:15210"),
            ("trust 8086:1521 03:00", 1, "03:00"), ("trust 03:20.0", 1, "03:20.0"), ("trust 03:00.8", 1, "03:00.8"),
            ("trust +086:1521", 1, "+086:1521"), ("trust a b c", 1, "3 words"), ("distrust 8086:1521", 1, "distrust"),
            ("waive 8086:1521 x", 1, "must name a slot"), ("waive 0000:03:00.0", 1, "without a reason"),
            ("trust 8086:1521\ntrust 8086:1521", 2, "line 1"), ("trust none\n\ntrust 8086:1521", 3, "line 1"),
            ("trust 8086:1521\ntrust none", 2, "line 2"), ("# \u{1b}[2J", 1, "control"), ("# a\u{202e}b", 1, "control"),
            (waiver + "a\n" + waiver + "b", 2, "line 1"), (waiver + String(repeating: "x", count: 401), 1, "401 bytes"),
            ("#" + String(repeating: "x", count: 512), 1, "513 bytes"),
            (String(repeating: "\n", count: 65_537), 0, "65537 bytes"),
            ((0..<1025).map { "trust 8086:\(String($0 + 0x1000, radix: 16))\n" }.joined(), 1025, "1024 entries"),
        ] {
            do throws(DevicePolicy.Failure) {
                _ = try policy(text)
                Issue.record("taken: \(text.prefix(40))")
            } catch {
                #expect(error.line == line && error.description.contains(word), "\(error)")
                #expect(!error.cure.isEmpty)
            }
        }
        #expect(throws: DevicePolicy.Failure.self) { try DevicePolicy(parsing: [0x23, 0xff, 0xfe]) }
        let whole = try policy("trust none\r\n\twaive\t10000:e1:1f.7  two   words \r\n")
        #expect(whole == DevicePolicy(trusted: [], waivers: [.init(DeviceSlot("00010000:E1:1F.7")!, reason: "two words")]))
        #expect(whole.text == "trust none\nwaive 10000:e1:1f.7 two words\n")
    }

    @Test("a reason from a program is shown on one line")
    func hostileReason() {
        let policy = DevicePolicy(waivers: [.init(DeviceSlot("03:00.0")!, reason: "a\u{1b}[2J\nb\u{202e}c")])
        guard case .waived(let sentence) = policy.judge(Self.device(.none)) else {
            Issue.record("not waived")
            return
        }
        #expect(sentence.hasSuffix("a [2J b c"))
    }

    @Test("from a regular file, which others may not write")
    func files() throws {
        let scratch = try Scratch()
        let path = scratch.at("policy")
        let whole = "trust 8086:1521\nwaive 0000:03:00.0 laboratory\n"
        try Data(whole.utf8).write(to: URL(filePath: path))
        func setMode(_ mode: Int) throws {
            try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
        }
        try setMode(0o644)
        #expect(try DevicePolicy(contentsOf: path).text == whole)
        func line(_ path: String) -> Int? {
            do throws(DevicePolicy.Failure) {
                _ = try DevicePolicy(contentsOf: path)
                return nil
            } catch { return error.line }
        }
        for mode in [0o664, 0o646] {
            try setMode(mode)
            #expect(line(path) == 0)
        }
        #expect(line(scratch.path) == 0 && line(scratch.at("nobody")) == 0 && line("/dev/zero") == 0)
        try Command.run(["mkfifo", "-m", "600", scratch.at("pipe")])
        #expect(line(scratch.at("pipe")) == 0)
        try Data(repeating: 0x0a, count: 1 << 20).write(to: URL(filePath: scratch.at("large")))
        #expect(line(scratch.at("large")) == 0)
        try Data("trust 8086:1521\nnonsense\n".utf8).write(to: URL(filePath: scratch.at("wrong")))
        #expect(line(scratch.at("wrong")) == 2)
    }
}
