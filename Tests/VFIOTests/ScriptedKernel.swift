// SPDX-License-Identifier: Apache-2.0

import CDMA
import DMATypes

@testable import DMAVFIOAccess

/// A kernel with one PCI function behind an IOMMU, and what a test makes odd about it.
///
/// It keeps the kernel's promises where a test says nothing else: descriptors are counted, mappings need a container with an IOMMU, and go with it.
final class ScriptedKernel: VFIOKernel {
    static let address = "0000:01:00.0"
    static let second = "0000:02:00.0"

    struct State {
        // What sysfs and /dev have.
        var folders: [String: [String]] = [:]
        var links: [String: String] = [:]
        var texts: [String: String] = [:]
        var errors: [String: Int32] = [:]

        // What is open: a descriptor's path.
        var opened: [Int32: String] = [:]
        var next: Int32 = 10_000
        var log: [String] = []
        /// The call of that number, from 0 on, is refused.
        var refused: Int?
        var calls = 0
        var refusal: Int32 = 5

        // Answers.
        var version: Int32 = 0
        var hasType: Int32 = 1
        var groupFlags: UInt32 = 1
        var joinError: Int32 = 0
        var iommuError: Int32 = 0
        var answers: [String: [UInt8]] = [:]
        /// Answers that name more room than they were given.
        var growth: UInt32 = 0
        var lockLimit: UInt64 = .max
        var ranges: [UInt64] = [0, 0xfedf_ffff, 0xfef0_0000, 0xffff_ffff_ffff]
        var bindError: Int32 = 0

        // Mappings: count and permissions by bus address.
        var mappings: [UInt64: (count: UInt64, reads: Bool, writes: Bool)] = [:]
        var mapErrors: [Int32] = []
        var unmapAnswers: [UInt64] = []
        var joined: Set<Int32> = []

        // The device.
        var configuration = [UInt8](repeating: 0, count: 4096)
        var registers = [UInt8](repeating: 0, count: 16_384)
        var resetError: Int32 = 0
        var hotResetError: Int32 = 0
        /// The events of each index of interrupts.
        var events: [UInt32: [Int32]] = [:]
        var unmasked = 0
        var isGone = false
    }

    let state: Locked<State>

    init() {
        var state = State()
        for (number, name) in [Self.address, Self.second].enumerated() {
            let folder = "/sys/bus/pci/devices/\(name)"
            state.folders[folder] = ["config", "class"]
            state.links["\(folder)/driver"] = "../../../bus/pci/drivers/vfio-pci"
            state.links["\(folder)/iommu_group"] = "../../../kernel/iommu_groups/\(7 + number)"
            state.texts["\(folder)/class"] = "0x00ff00"
            state.texts["/sys/kernel/iommu_groups/\(7 + number)/name"] = nil
            state.folders["/sys/kernel/iommu_groups/\(7 + number)/devices"] = [name]
        }
        state.answers["device"] = Self.words([0, 3, 9, 5])
        state.answers["iommu"] = Self.iommu([(0, 0xfedf_ffff), (0xfef0_0000, 0xffff_ffff_ffff)])
        for index in 0..<9 { state.answers["region \(index)"] = Self.region(0, 0, index) }
        state.answers["region 0"] = Self.region(7, 16_384, 0)
        state.answers["region 7"] = Self.region(3, 4096, 7)
        for (index, count) in [1, 4, 8, 1, 1].enumerated() {
            state.answers["interrupt \(index)"] = Self.words([0, 1, UInt32(index), UInt32(count)])
        }
        // An EDU: vendor, device, class, a type 0 header, pin A; a list of MSI and power management.
        let words: [Int: UInt32] = [
            0: 0x11e8_1234, 4: 0x0010_0004, 8: 0x00ff_0010, 0x10: 0xfea0_0000, 0x34: 0x40, 0x3c: 0x0100,
            0x40: 0x0000_5005 | 1 << 23, 0x50: 0x0003_0001,
        ]
        for (offset, word) in words {
            for place in 0..<4 { state.configuration[offset + place] = UInt8(truncatingIfNeeded: word >> UInt32(8 * place)) }
        }
        self.state = Locked(state)
    }

    func with<R: Sendable>(_ body: (inout State) -> R) -> R { state.withLock { body(&$0) } }
    var opened: Int { with { $0.opened.count } }
    var log: [String] { with { $0.log } }
    var mappings: [UInt64] { with { $0.mappings.keys.sorted() } }

    // MARK: Answers

    static func words(_ words: [UInt32]) -> [UInt8] {
        words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> UInt32(8 * $0)) } }
    }

    static func halves(_ value: UInt64) -> [UInt32] {
        [UInt32(truncatingIfNeeded: value), UInt32(truncatingIfNeeded: value >> 32)]
    }

    /// A capability: ID, and the words behind its header. The offset of the next one is filled in.
    typealias Entry = (id: UInt16, words: [UInt32])

    /// An answer with a chain of capabilities behind its fixed words; `place` is the word that names the first one.
    static func chained(_ fixed: [UInt32], at place: Int, _ chain: [Entry]) -> [UInt8] {
        var result = fixed
        var link = place
        for entry in chain {
            result[link] = UInt32(4 * result.count)
            link = result.count + 1
            result += [UInt32(entry.id) | 1 << 16, 0] + entry.words
        }
        return words(result)
    }

    static func iommu(_ ranges: [(UInt64, UInt64)], pages: UInt64 = 0x4020_1000, limit: UInt32? = 65_535) -> [UInt8] {
        iommu(chain: [rangesEntry(ranges)] + (limit.map { [(3, [$0])] } ?? []), pages: pages)
    }

    static func iommu(chain: [Entry], pages: UInt64 = 0x4020_1000) -> [UInt8] {
        chained([0, 3] + halves(pages) + [0, 0], at: 4, chain)
    }

    static func rangesEntry(_ ranges: [(UInt64, UInt64)]) -> Entry {
        (1, [UInt32(ranges.count), 0] + ranges.flatMap { halves($0.0) + halves($0.1) })
    }

    static func region(_ flags: UInt32, _ count: UInt64, _ index: Int, chain: [Entry] = []) -> [UInt8] {
        chained(
            [0, flags | (chain.isEmpty ? 0 : 8), UInt32(index), 0] + halves(count) + halves(UInt64(index) << 40), at: 3, chain)
    }

    static func areasEntry(_ areas: [(UInt64, UInt64)]) -> Entry {
        (1, [UInt32(areas.count), 0] + areas.flatMap { halves($0.0) + halves($0.1) })
    }

    // MARK: Files

    /// Notes a call; a refusal where it is this one's turn.
    private func call(_ state: inout State, _ name: String) -> Int32? {
        defer { state.calls += 1 }
        state.log.append(name)
        return state.refused == state.calls ? -state.refusal : nil
    }

    func open(_ path: String) -> Int32 {
        with { state in
            if let refusal = call(&state, "open \(path)") { return refusal }
            if let error = state.errors[path] { return -error }
            // A group has one owner.
            if path.hasPrefix("/dev/vfio/"), path != "/dev/vfio/vfio", state.opened.values.contains(path) { return -16 }
            state.next += 1
            state.opened[state.next] = path
            return state.next
        }
    }

    func close(_ descriptor: Int32) -> Int32 {
        with { state in
            let path = state.opened.removeValue(forKey: descriptor)
            state.log.append("close \(path ?? "what is not open")")
            state.joined.remove(descriptor)
            // The kernel drops a container's mappings with its last group.
            if state.joined.isEmpty, path != "/dev/iommu" {
                if !state.opened.values.contains("/dev/iommu") { state.mappings = [:] }
            }
            return path == nil ? -9 : 0
        }
    }

    func text(_ path: String) -> String? { with { $0.texts[path] } }
    func link(_ path: String) -> String? { with { $0.links[path] } }
    func names(in folder: String) -> [String]? { with { $0.folders[folder] } }

    func ask(_ descriptor: Int32, _ question: VFIOQuestion, _ room: inout [UInt8]) -> Int32 {
        let key =
            switch question {
            case .region, .interrupt: "\(question) \(room[8])"
            default: "\(question)"
            }
        let size = room.count
        let (result, bytes) = with { state -> (Int32, [UInt8]) in
            if let refusal = call(&state, "ask \(key)") { return (refusal, []) }
            guard var answer = state.answers[key] else { return (question == .interrupt ? -22 : -19, []) }
            // argsz: what it would need.
            answer.replaceSubrange(0..<4, with: Self.words([UInt32(answer.count)]))
            if state.growth > 0 { answer.replaceSubrange(0..<4, with: Self.words([UInt32(size) + state.growth])) }
            return (0, answer)
        }
        // As the kernel: it writes as much as fits.
        for (offset, byte) in bytes.prefix(room.count).enumerated() { room[offset] = byte }
        return result
    }

    // MARK: Groups and containers

    func version(of container: Int32) -> Int32 { with { $0.version } }
    func has(_ container: Int32, _ extension: Int32) -> Int32 { with { $0.hasType } }
    func status(of group: Int32, _ flags: inout UInt32) -> Int32 {
        let (result, found) = with { state in (call(&state, "status") ?? 0, state.groupFlags) }
        flags = found
        return result
    }
    func join(_ group: Int32, _ container: Int32) -> Int32 {
        with { state in
            if let refusal = call(&state, "join") { return refusal }
            guard state.joinError == 0 else { return -state.joinError }
            state.joined.insert(group)
            return 0
        }
    }
    func setIOMMU(_ container: Int32, _ type: Int32) -> Int32 {
        with { state in call(&state, "iommu \(type)") ?? -state.iommuError }
    }
    func device(of group: Int32, _ name: String) -> Int32 { open("device \(name)") }

    // MARK: iommufd

    func makeSpace(_ iommufd: Int32, _ number: inout UInt32) -> Int32 {
        number = 42
        return with { state in call(&state, "ioas") ?? 0 }
    }
    func destroySpace(_ iommufd: Int32, _ number: UInt32) -> Int32 { 0 }
    func ranges(
        _ iommufd: Int32, _ space: UInt32, _ pairs: inout [UInt64], _ count: inout UInt32, _ alignment: inout UInt64
    ) -> Int32 {
        let room = pairs.count / 2
        let (result, found) = with { state in (call(&state, "ranges") ?? 0, state.ranges) }
        guard result == 0 else { return result }
        count = UInt32(found.count / 2)
        alignment = 4096
        for (place, word) in found.prefix(2 * room).enumerated() { pairs[place] = word }
        return found.count / 2 > room ? -90 : 0
    }
    func bind(_ device: Int32, _ iommufd: Int32) -> Int32 { with { state in call(&state, "bind") ?? -state.bindError } }
    func attach(_ device: Int32, _ space: UInt32) -> Int32 { with { state in call(&state, "attach") ?? 0 } }

    // MARK: Mappings

    func map(_ table: VFIOTable, _ iova: UInt64, _ address: UInt64, _ count: UInt64, reads: Bool, writes: Bool) -> Int32 {
        with { state in
            if !state.mapErrors.isEmpty { return -state.mapErrors.removeFirst() }
            if case .container = table, state.joined.isEmpty { return -22 }
            guard !state.mappings.contains(where: { $0.key < iova + count && iova < $0.key + $0.value.count }) else {
                return -17
            }
            state.mappings[iova] = (count, reads, writes)
            return 0
        }
    }
    func unmap(_ table: VFIOTable, _ iova: UInt64, _ count: inout UInt64) -> Int32 {
        let asked = count
        let (result, done) = with { state -> (Int32, UInt64) in
            if !state.unmapAnswers.isEmpty { return (0, state.unmapAnswers.removeFirst()) }
            let inside = state.mappings.filter { $0.key >= iova && $0.key - iova < asked }
            for place in inside.keys { state.mappings[place] = nil }
            return (0, inside.values.reduce(0) { $0 + $1.count })
        }
        count = done
        return result
    }
    var lockLimit: UInt64 { with { $0.lockLimit } }

    // MARK: A device

    func reset(_ device: Int32) -> Int32 { with { state in call(&state, "reset") ?? -state.resetError } }
    func hotReset(_ device: Int32, _ groups: [Int32]) -> Int32 {
        with { state in
            state.log.append("hot reset with \(groups.count) groups")
            return -state.hotResetError
        }
    }
    func interrupts(_ device: Int32, _ index: UInt32, _ action: VFIOInterruptAction) -> Int32 {
        with { state in
            if let refusal = call(&state, "interrupts \(index)") { return refusal }
            switch action {
            case .signal(let events): state.events[index] = events
            case .switchOff: state.events[index] = nil
            case .unmask: state.unmasked += 1
            case .mask: break
            }
            return 0
        }
    }

    /// A vector fires.
    func fire(_ index: UInt32, _ vector: Int = 0) {
        let event = with { $0.events[index]?[vector] }
        if let event { _ = cdma_event_signal(event) }
    }

    func read(_ device: Int32, _ offset: UInt64, _ width: Int, _ value: inout UInt64) -> Int32 {
        let found: UInt64? = with { state in
            guard !state.isGone else { return nil }
            let bytes = offset >> 40 == 7 ? state.configuration : state.registers
            let place = Int(offset & 0xff_ffff_ffff)
            guard place + width <= bytes.count else { return nil }
            return (0..<width).reduce(0) { $0 | UInt64(bytes[place + $1]) << UInt64(8 * $1) }
        }
        value = found ?? 0
        return found == nil ? -5 : 0
    }
    func write(_ device: Int32, _ offset: UInt64, _ width: Int, _ value: UInt64) -> Int32 {
        with { state in
            let place = Int(offset & 0xff_ffff_ffff)
            if offset >> 40 == 7 {
                if place == 4 { state.log.append(value & 4 == 0 ? "master off" : "master on") }
                for byte in 0..<width {
                    state.configuration[place + byte] = UInt8(truncatingIfNeeded: value >> UInt64(8 * byte))
                }
            } else {
                for byte in 0..<width { state.registers[place + byte] = UInt8(truncatingIfNeeded: value >> UInt64(8 * byte)) }
            }
            return 0
        }
    }
    func mapRegion(_ device: Int32, _ offset: UInt64, _ count: Int, _ address: inout UInt) -> Int32 {
        with { $0.log.append("map \(offset & 0xff_ffff_ffff) \(count)") }
        // SAFETY: the mapping is the caller's, who ends it.
        let file = unsafe cdma_shared_memory("registers", count, 0)
        guard file >= 0 else { return file }
        var base: UnsafeMutableRawPointer?
        let result = unsafe cdma_map_file(file, 0, count, &base)
        _ = cdma_close(file)
        address = UInt(bitPattern: base)
        return result
    }
}
