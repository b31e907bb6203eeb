// SPDX-License-Identifier: Apache-2.0
import CDMA
import Glibc
import Synchronization
import Testing

@testable import DMACore

@Suite("What concerns the whole process")
struct ProcessTests {
    @Test("the arithmetic of RLIMIT_MEMLOCK")
    func arithmetic() {
        #expect(LockBudget(limit: 65536, locked: 4096).remaining == 61440)
        #expect(LockBudget(limit: 4096, locked: 8192).remaining == 0)
        #expect(LockBudget(limit: .max, locked: 8192).remaining == .max)
        #expect(LockBudget.lockedBytes(inStatus: Array("Name:\tx\nVmLck:\t      12 kB\nVmPin: 4 kB\n".utf8)) == 12288)
        #expect(LockBudget.lockedBytes(inStatus: Array("VmLck:\t99999999999999999999999 kB".utf8)) == 0)
        #expect(LockBudget.lockedBytes(inStatus: Array("VmLck:".utf8)) == 0)
        #expect(LockBudget.lockedBytes(inStatus: []) == 0)
    }

    @Test("locked memory says so")
    func locked() throws {
        let buffer = try Buffer(count: 4096, policy: AllocationPolicy(locked: true))
        #expect(buffer.isLocked == true)
    }

    /// Binds this process to RLIMIT_MEMLOCK, for good: also root, who would be above it, becomes nobody.
    static func limitLocks(to bytes: rlim_t) -> Bool {
        var limit = rlimit(rlim_cur: bytes, rlim_max: bytes)
        // Not by the constant's rawValue: which of the modules that carry the C library's headers owns it depends on what was built.
        return unsafe setrlimit(unsafeBitCast(__RLIMIT_MEMLOCK, to: __rlimit_resource_t.self), &limit) == 0
            && (getuid() != 0 || setuid(65534) == 0)
    }

    /// Before anything has read the environment, in a process of its own.
    static func ask(_ value: String) { unsafe _ = setenv("DMA_SANITIZE", value, 1) }

    /// Ends something that was never mapped; the refusal is not what the tests look at.
    static func mistake(_ domain: Domain) {
        _ = refusal { () throws(DMAError) in try unsafe UnsafeMappings(domain).unmap(IOVA(4096), count: 1, direction: .toDevice)
        }
    }

    @Test("RLIMIT_MEMLOCK hit: refused with the arithmetic, or unlocked memory that says so")
    func limitHit() async {
        // In a process of its own: the limit is the process's, and root has to become somebody whom it binds. It ends at once: the system
        // does not let a leak check look into a process that has changed its user.
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
