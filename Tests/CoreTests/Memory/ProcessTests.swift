// SPDX-License-Identifier: Apache-2.0
import CDMA
import Glibc
import Synchronization
import Testing

@testable import DMACore

@Suite("Limits and settings of the whole process")
struct ProcessTests {
    @Test("the figures of RLIMIT_MEMLOCK")
    func arithmetic() {
        #expect(LockBudget(limit: 65536, locked: 4096).remaining == 61440)
        #expect(LockBudget(limit: 4096, locked: 8192).remaining == 0)
        #expect(LockBudget(limit: .max, locked: 8192).remaining == .max)
        #expect(LockBudget.lockedBytes(inStatus: Array("Name:\tx\nVmLck:\t      12 kB\nVmPin: 4 kB\n".utf8)) == 12288)
        #expect(LockBudget.lockedBytes(inStatus: Array("VmLck:\t99999999999999999999999 kB".utf8)) == 0)
        #expect(LockBudget.lockedBytes(inStatus: Array("VmLck:".utf8)) == 0)
        #expect(LockBudget.lockedBytes(inStatus: []) == 0)
    }

    @Test("locked memory is reported")
    func locked() throws {
        let buffer = try Buffer(count: 4096, policy: AllocationPolicy(locked: true))
        #expect(buffer.isLocked == true)
    }

    /// Makes RLIMIT_MEMLOCK apply to this process, permanently: a process of root, which is exempt, switches to an unprivileged user.
    static func limitLocks(to bytes: rlim_t) -> Bool {
        var limit = rlimit(rlim_cur: bytes, rlim_max: bytes)
        // Not by the constant's rawValue: the module that owns it, of those with the C library's headers, depends on the build.
        return unsafe setrlimit(unsafeBitCast(__RLIMIT_MEMLOCK, to: __rlimit_resource_t.self), &limit) == 0
            && (getuid() != 0 || setuid(65534) == 0)
    }

    /// Before the first read of the environment, in a separate process.
    static func ask(_ value: String) { unsafe _ = setenv("DMA_SANITIZE", value, 1) }

    /// Unmaps an address that was never mapped; the tests do not check the refusal.
    static func mistake(_ domain: Domain) {
        _ = refusal { () throws(DMAError) in try unsafe UnsafeMappings(domain).unmap(IOVA(4096), count: 1, direction: .toDevice)
        }
    }

    @Test("RLIMIT_MEMLOCK reached: refused with the figures, or unlocked memory that is reported as such")
    func limitHit() async {
        // In a separate process: the limit belongs to the process, and root must become a user whom it binds. It ends at once:
        // the system does not permit a leak check of a process that has changed its user.
        await #expect(processExitsWith: .exitCode(0)) {
            guard Self.limitLocks(to: 64 << 10) else { _exit(2) }
            do throws(DMAError) {
                _ = try Buffer(count: 1 << 20, policy: AllocationPolicy(locked: true))
                _exit(3)
            } catch {
                guard error.code == .memoryLocked, error.asked == 1 << 20, error.limit <= 64 << 10 else { _exit(4) }
                guard error.description.contains("ulimit -l") else { _exit(5) }
            }
            guard let buffer = try? Buffer(count: 1 << 20, policy: AllocationPolicy(locked: true, acceptsFallback: true)) else {
                _exit(6)
            }
            if buffer.isLocked { _exit(7) }
            guard let small = try? Buffer(count: 4096, policy: AllocationPolicy(locked: true)), small.isLocked else { _exit(8) }
            _exit(0)
        }
    }

    @Test("DMA_SANITIZE=1 turns the sanitizer on with the first domain")
    func environment() async {
        await #expect(processExitsWith: .exitCode(0)) {
            if Sanitizer.isEnabled { exit(2) }
            Self.ask("1")
            _ = Domain(name: "first")
            guard Sanitizer.isEnabled else { exit(3) }
            Sanitizer.disable()
            guard !Sanitizer.isEnabled else { exit(4) }
            exit(0)
        }
    }

    @Test("reports go to the handler, or are kept up to a bound")
    func handlers() async {
        await #expect(processExitsWith: .exitCode(0)) {
            let domain = Domain(name: "reports")
            Sanitizer.enable()
            for _ in 0..<Sanitizer.capacity + 10 {
                Self.mistake(domain)
            }
            guard Sanitizer.reports().count == Sanitizer.capacity, Sanitizer.droppedReports == 10 else { exit(2) }
            guard Sanitizer.takeReports().count == Sanitizer.capacity, Sanitizer.reports().isEmpty else { exit(3) }
            let counter = BufferTests.Counter()
            Sanitizer.enable { report in
                if report.identifier == .unmapNotMapped { counter.value.add(1, ordering: .relaxed) }
            }
            Self.mistake(domain)
            guard counter.value.load(ordering: .relaxed) == 1, Sanitizer.reports().isEmpty else { exit(4) }
            exit(0)
        }
    }
}
