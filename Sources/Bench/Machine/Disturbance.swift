// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Time that others took from a measurement: other guests of the same hardware, and other programs on the same processors.
///
/// Source: proc_stat(5) (steal), Documentation/scheduler/sched-stats.rst (the wait on run queues),
/// Documentation/accounting/psi.rst.
package struct Disturbance: Hashable, Sendable, Codable {
    /// Seconds that passed.
    package var seconds: Double
    /// Share of all processors' time that the hypervisor gave to others; nil where /proc/stat is not there.
    package var steal: Double?
    /// Seconds that threads of the measurement waited, ready to run, for a processor, for each second that passed; nil where
    /// the kernel does not count.
    package var runQueueWait: Double?
    /// Share of the time in which some thread of the machine waited for a processor; nil without pressure information.
    package var pressure: Double?

    package init(seconds: Double, steal: Double? = nil, runQueueWait: Double? = nil, pressure: Double? = nil) {
        self.seconds = seconds
        self.steal = steal
        self.runQueueWait = runQueueWait
        self.pressure = pressure
    }

    /// What makes a run worth a warning.
    package static let stealLimit = 0.01
    package static let runQueueLimit = 0.02
    package static let pressureLimit = 0.10

    /// What to say about it; empty for a quiet machine.
    ///
    /// - Parameter ownLoad: whether the run itself put more threads to work than there are processors.
    package func warnings(ownLoad: Bool = false) -> [String] {
        func percent(_ share: Double) -> String {
            let tenths = Int(min(max((share * 1000).rounded(), 0), 1e12))
            return "\(tenths / 10).\(tenths % 10) %"
        }
        var warnings: [String] = []
        if let steal, steal > Disturbance.stealLimit {
            warnings.append("other guests of this host had \(percent(steal)) of the processors' time (steal)")
        }
        let isOwn = ownLoad ? "; the run itself had more threads than there are processors" : ""
        if let runQueueWait, runQueueWait > Disturbance.runQueueLimit {
            warnings.append("the measuring threads waited \(percent(runQueueWait)) of the time for a processor" + isOwn)
        }
        if let pressure, pressure > Disturbance.pressureLimit {
            warnings.append("in \(percent(pressure)) of the time some thread of the machine waited for a processor" + isOwn)
        }
        return warnings
    }
}

/// The counters behind a ``Disturbance``, at one moment.
struct DisturbanceCounters: Sendable {
    var nanoseconds: Int64
    var steal: UInt64?
    var ticks: UInt64?
    var pressure: UInt64?

    /// Reads them now.
    init(nanoseconds: Int64) {
        self.nanoseconds = nanoseconds
        if let first = SmallFile.line("/proc/stat"), first.hasPrefix("cpu ") {
            (steal, ticks) = DisturbanceCounters.ticks(first)
        }
        pressure = SmallFile.line("/proc/pressure/cpu").flatMap(DisturbanceCounters.total)
    }

    /// Of "cpu user nice system idle iowait irq softirq steal guest guest_nice": steal, and the sum of the first eight, in
    /// which guests are contained.
    static func ticks(_ line: String) -> (steal: UInt64?, all: UInt64?) {
        let numbers = line.split(separator: " ").dropFirst().compactMap { UInt64($0) }
        guard numbers.count >= 8 else { return (nil, nil) }
        return (numbers[7], numbers.prefix(8).reduce(0, &+))
    }

    /// Of "some avg10=… avg60=… avg300=… total=MICROSECONDS": the last number.
    static func total(_ line: String) -> UInt64? {
        line.split(separator: " ").last.flatMap { $0.hasPrefix("total=") ? UInt64($0.dropFirst(6)) : nil }
    }

    /// What happened since `earlier`.
    ///
    /// - Parameter runQueueWait: nanoseconds that the measuring threads waited, and of how many they measured; nil if not
    ///   known.
    func since(_ earlier: DisturbanceCounters, runQueueWait: (waited: Int64, measured: Int64)?) -> Disturbance {
        let elapsed = Double(max(nanoseconds - earlier.nanoseconds, 1)) / 1e9
        var disturbance = Disturbance(seconds: elapsed)
        // Hypervisors take stolen time back: then nothing is known.
        if let steal, let ticks, let before = earlier.steal, let ticksBefore = earlier.ticks, ticks > ticksBefore,
            steal >= before
        {
            disturbance.steal = min(Double(steal - before) / Double(ticks - ticksBefore), 1)
        }
        if let pressure, let before = earlier.pressure, pressure >= before {
            disturbance.pressure = min(Double(pressure - before) / 1e6 / elapsed, 1)
        }
        if let runQueueWait, runQueueWait.measured > 0 {
            disturbance.runQueueWait = Double(max(runQueueWait.waited, 0)) / Double(runQueueWait.measured)
        }
        return disturbance
    }

    /// Nanoseconds that the calling thread has waited on run queues since it began; nil where the kernel does not count.
    static var runQueueWaitOfThread: Int64? { SmallFile.line("/proc/thread-self/schedstat").flatMap(waited) }

    /// Of "NANOSECONDS-RUN NANOSECONDS-WAITED SLICES": the second number.
    static func waited(_ line: String) -> Int64? {
        let numbers = line.split(separator: " ").compactMap { Int64($0) }
        return numbers.count == 3 ? numbers[1] : nil
    }
}
