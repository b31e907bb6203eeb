// SPDX-License-Identifier: Apache-2.0

import DMAAccess
import DMACore
import DMAQTestAccess
import DMATestSupport
import Foundation
import Testing

/// What is started is no QEMU, or one that does what none does: an error with a cure, in a bounded time, and nothing left behind.
@Suite("qtest: a QEMU that does wrong", .serialized)
struct HostileTests {
    /// What comes of starting a program that stands in for QEMU, which stays there until then.
    private func error(_ fake: FakeQEMU, machine: String = "q35") -> QTestError? {
        var configuration = fake.configuration
        configuration.machine = machine
        return withExtendedLifetime(fake) { error(configuration) }
    }

    private func error(_ configuration: QTestConfiguration) -> QTestError? {
        let before = Own.descriptors
        var found: QTestError?
        do throws(QTestError) { _ = try QTestMachine(configuration) } catch { found = error }
        // The thread that waits for the child closes the last of them.
        #expect(Own.waits { Own.descriptors <= before })
        return found
    }

    @Test("there is none")
    func missing() {
        var configuration = QTestConfiguration()
        configuration.program = "qemu-system-of-no-machine"
        #expect(error(configuration)?.code == .missing)
        #expect(error(configuration)?.cure.contains("apt-get install qemu-system-x86") == true)
        configuration.program = "/no/such/folder/qemu"
        #expect(error(configuration)?.code == .missing)
        configuration.program = "/etc/passwd"
        #expect(error(configuration)?.code == .notStarted)
    }

    @Test("it is too old, or says no version", arguments: ["QEMU emulator version 6.2.0", "version 0.1"])
    func old(_ version: String) throws {
        let found = error(try FakeQEMU(version: version, "exit 0"))
        #expect(found?.code == .tooOld)
        #expect(found?.cure.contains("7.2") == true)
    }

    @Test("it names no version", arguments: ["", "hello", "version", "version x"])
    func noVersion(_ version: String) throws {
        #expect(error(try FakeQEMU(version: version, "exit 0"))?.code == .badAnswer)
    }

    @Test("what is asked of the machine contradicts itself", arguments: [0, 1, 1 << 20, (2 << 20) + 1, 4 << 30])
    func memory(_ count: UInt64) {
        var configuration = QTestConfiguration()
        configuration.memory = count
        #expect(error(configuration)?.code == .badConfiguration)
    }

    @Test("it ends at once, with its last words")
    func ends() throws {
        let found = error(try FakeQEMU("echo 'no such device: \u{1b}[31mxyz' >&2; exit 3"))
        #expect(found?.code == .ended)
        #expect(found?.lastWords.contains("no such device: [31mxyz") == true)
        #expect(found?.detail.contains("status 3") == true)
    }

    @Test("it is killed before it answers")
    func killed() throws {
        let found = error(try FakeQEMU("kill -KILL $$"))
        #expect(found?.code == .ended)
        #expect(found?.detail.contains("signal 9") == true)
    }

    @Test("it says nothing, and is ended")
    func silent() throws {
        let began = Deadline.now
        #expect(error(try FakeQEMU("exec sleep 60"))?.code == .noAnswer)
        #expect(began.nanoseconds + 60_000_000_000 > Deadline.now.nanoseconds)
    }

    @Test(
        "its first answer is none",
        arguments: [
            "FAIL no", "HELLO", "OK", "OK middle", "IRQ raise", "IRQ dance 4", "IRQ raise -1", "OK \\\\0\\\\0",
            "\\\\377\\\\376",
        ])
    func badFirstAnswer(_ answer: String) throws {
        let found = error(try FakeQEMU("printf '\(answer)\\n' >&$FD; exec sleep 60"))
        #expect(found?.code == .badAnswer, "\(String(describing: found))")
    }

    @Test("a line without end, and lines without end")
    func flood() throws {
        let line = try FakeQEMU("head -c 5000 /dev/zero | tr '\\\\0' A >&$FD; exec sleep 60")
        #expect(error(line)?.code == .badAnswer)
        let lines = try FakeQEMU("yes 'IRQ raise 0' >&$FD")
        #expect(error(lines) != nil)
    }

    @Test("it ends at each step of the handshake", arguments: [0, 1, 2, 3])
    func steps(_ number: Int) throws {
        // endianness, then two writes to ports and so on: of the board pc only the first is asked.
        let answers = ["OK little"] + [String](repeating: "OK", count: max(number - 1, 0))
        let found = error(
            try FakeQEMU(FakeQEMU.answering(Array(answers.prefix(number)), then: "echo 'out of patience' >&2; exit 1")))
        if number < 3 {
            #expect(found?.code == .ended, "\(String(describing: found))")
            #expect(found?.lastWords == "out of patience")
        }
    }

    @Test("a board without a known bus")
    func board() throws {
        let found = error(
            try FakeQEMU(FakeQEMU.answering(["OK little"], then: "exec sleep 60")), machine: "microvm")
        #expect(found?.code == .badConfiguration && found?.cure == "use the board q35 or pc")
    }

    @Test("after the handshake: garbage, silence and the end are all ones, and the reason is kept")
    func afterwards() throws {
        // The write that selects a register is answered, the read is not.
        let next = "read -r line <&$FD; printf 'OK\\n' >&$FD; read -r line <&$FD;"
        let cases: [(String, QTestError.Code)] = [
            ("\(next) printf 'OK 0xzz\\n' >&$FD; exec sleep 60", .badAnswer),
            ("\(next) printf 'OK 0x11111111111111111\\n' >&$FD; exec sleep 60", .badAnswer),
            ("\(next) printf 'OK\\n' >&$FD; exec sleep 60", .badAnswer),
            ("read -r line <&$FD; printf 'OK 0x1\\n' >&$FD; exec sleep 60", .badAnswer),
            ("exec sleep 60", .noAnswer), ("exit 0", .ended),
        ]
        for (rest, code) in cases {
            let fake = try FakeQEMU(FakeQEMU.answering(["OK little"], then: rest))
            defer { withExtendedLifetime(fake) {} }
            var configuration = fake.configuration
            configuration.machine = "pc"
            let machine = try QTestMachine(configuration)
            let process = machine.processIdentifier
            #expect(machine.devices().isEmpty)
            #expect(machine.failure?.code == code, "\(rest): \(String(describing: machine.failure))")
            let error = #expect(throws: AccessError.self) { _ = try QuietDevice(opening: machine.device(at: 5)).name }
            #expect(error?.code == .gone)
            machine.stop()
            #expect(!machine.isRunning)
            if let process { #expect(Own.waits { !Own.exists(process) }) }
        }
    }
}
