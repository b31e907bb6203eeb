// SPDX-License-Identifier: Apache-2.0

import DMACore
import Testing

@testable import DMABench

@Suite("Memory of measurements")
struct MemoryRoomTests {
    private func room(_ mib: UInt64, _ change: (inout BenchPoint, inout BenchSettings) -> Void = { _, _ in }) -> MemoryRoom {
        var (point, settings) = (BenchPoint(engine: "cpu", bytes: 1 << 20), BenchSettings())
        change(&point, &settings)
        return MemoryRoom(settings, point, points: 1, MemoryBudget(available: mib << 20, source: "/x/memory.max"))
    }

    @Test("where there is enough nothing changes, and nothing is said")
    func enough() {
        let room = room(1 << 20)
        #expect(
            room
                == MemoryRoom(
                    BenchSettings(), BenchPoint(engine: "cpu", bytes: 1), points: 1, .init(available: .max, source: nil)))
        #expect(room.perChannel == BenchSettings().memory && room.note == nil && room.refusal == nil)
    }

    @Test("less is bounded in whole MiB, shared by the threads, and said where it matters, with who says so")
    func less() {
        let bounded = room(48)
        #expect(bounded.perChannel == 21 << 20 && bounded.refusal == nil)
        #expect(bounded.note == "at most 21 MiB of memory for each channel: 48 MiB are available (/x/memory.max)")
        #expect(room(48) { point, _ in point.threads = 3 }.perChannel == 7 << 20)
        // What takes less than that anyway is not concerned.
        #expect(room(48) { point, _ in point.bytes = 4096 }.note == nil)
        #expect(room(48) { point, settings in (point.bytes, settings.cache) = (4096, .cold) }.note != nil)
        #expect(room(48) { _, settings in settings.memory = 1 << 20 }.perChannel == 1 << 20)
    }

    @Test("what does not fit at all is refused, with what it takes")
    func refused() {
        let none = room(48) { point, _ in point.bytes = 64 << 20 }
        #expect(
            none.refusal?.hasPrefix("one transaction of 64 MiB takes 128 MiB of memory, 21 MiB can be had: 48 MiB are") == true)
        #expect(room(1).refusal != nil && room(0).refusal != nil)
        #expect(room(10) { point, _ in point.operation = .fill }.refusal == nil)
        #expect(room(10) { point, _ in point.operation = .pq }.refusal?.contains("takes 6 MiB") == true)
        #expect(room(1 << 20) { point, settings in (point.threads, settings.memory) = (1024, .max) }.refusal == nil)
    }
}

@Suite("The foreground task")
struct ForegroundRangeTests {
    @Test("pieces of less than half or more than ten times what they are meant to take are none to measure by")
    func range() {
        for median in [25_000.0, 50_000, 500_000] { #expect(Foreground.refusal(median) == nil) }
        for median in [0.0, 24_000, 501_000, .infinity, .nan] {
            #expect(Foreground.refusal(median)?.contains(" us alone, and are meant to take 50 us") == true)
        }
    }
}
