// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import DMABench

@Suite("Counts by interval")
struct SpeedLogTests {
    @Test("what is noted falls into the interval of its moment, and the last one is as long as what is left")
    func intervals() {
        var log = SpeedLog(seconds: 1e-6, began: 1000, nanoseconds: 4000)
        log.note(1500, 2)
        log.note(1999, 3)
        log.note(2000, 4)
        log.note(2000, 4)
        log.note(5400, 10)
        #expect(log.counts == [3, 1, 0, 0, 6])
        // 4.4 intervals: what is left is added to the fourth.
        let speeds = SpeedLog.speeds([log], bytes: 1000, end: 5400)
        #expect(speeds.map { Int(($0 / 1e6).rounded()) } == [3000, 1000, 0, Int((6000 / 1.4).rounded())])
        // 4.6 intervals: the fifth is shorter.
        #expect(SpeedLog.speeds([log], bytes: 1000, end: 5600).map { Int(($0 / 1e6).rounded()) } == [3000, 1000, 0, 0, 10_000])
        #expect(SpeedLog.speeds([log, log], bytes: 1000, end: 5600).first == 6e9)
    }

    @Test("a measurement that ends at once, or before it began, has a speed or none")
    func short() {
        let log = SpeedLog(seconds: 0.001, began: 1000, nanoseconds: 100)
        #expect(SpeedLog.speeds([log], bytes: 8, end: 1001) == [0])
        #expect(SpeedLog.speeds([log], bytes: 8, end: 1000).isEmpty && SpeedLog.speeds([], bytes: 8, end: 5).isEmpty)
        var early = log
        early.note(10, 5)
        #expect(early.counts == [5])
    }
}
