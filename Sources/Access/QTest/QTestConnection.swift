// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMAAccess
internal import DMATypes

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#endif

/// The protocol: lines of text, an answer to each command, and lines that come unasked when an interrupt changes.
///
/// Writes are posted: up to 64 are sent in one go, and their answers are taken later, with that of the next read. Every wait has a limit, every line
/// has a longest length, and what is no answer of the protocol ends the connection: from then on every read is all ones.
///
/// Thread rules: from any thread; they take turns.
///
/// Source: QEMU, docs/devel/qtest.rst and the comment at the head of system/qtest.c.
final class QTestConnection: Sendable {
    /// A pin of the interrupt controller that is listened to has changed.
    struct PinChange: Equatable {
        let pin: Int
        let isRaised: Bool
    }

    private struct State {
        /// Bytes that were received and are no whole line yet.
        var received: [UInt8] = []
        /// Commands that were not sent yet.
        var unsent: [UInt8] = []
        var unsentCount = 0
        /// Commands that were sent, whose answers were not taken.
        var outstanding = 0
        var failure: QTestError?
        var changes: [PinChange] = []
    }

    static let mostPosted = 64
    static let longestLine = 1024
    private static let mostChanges = 4096
    /// MSG_DONTWAIT.
    private static let doesNotWait: Int32 = 0x40

    let descriptor: Int32
    private let process: QEMUProcess
    private let patience: Duration
    private let state = Locked(State())

    /// - Parameter descriptor: this side of the socket; closed at the end.
    init(_ descriptor: Int32, _ process: QEMUProcess, patience: Duration) {
        self.descriptor = descriptor
        self.process = process
        self.patience = patience
    }

    deinit { _ = cdma_close(descriptor) }

    /// Why it answers no more; nil while it does.
    var failure: QTestError? { state.withLock { $0.failure } }

    // MARK: Commands

    /// A command and its answer, what stands behind OK. Everything that was posted before is sent first.
    func ask(_ words: String) throws(QTestError) -> String {
        let answer = state.withLock { state -> Result<String, QTestError> in
            Result { () throws(QTestError) in try ask(Array(words.utf8), &state) }
        }
        return try answer.get()
    }

    /// A command whose answer is taken later.
    func post(_ words: [UInt8], sendsNow: Bool) {
        state.withLock { state in
            guard state.failure == nil else { return }
            append(words, &state)
            guard sendsNow || state.unsentCount >= Self.mostPosted else { return }
            do throws(QTestError) {
                try send(&state)
                // No more are outstanding than are posted at once: their answers fit into the socket, so that neither side waits for the other.
                if state.outstanding > Self.mostPosted { try take(state.outstanding - Self.mostPosted, &state) }
            } catch { state.failure = error }
        }
    }

    /// Sends what is posted, and waits for the answers.
    func flush() {
        state.withLock { state in
            guard state.failure == nil else { return }
            do throws(QTestError) {
                try send(&state)
                try take(state.outstanding, &state)
            } catch { state.failure = error }
        }
    }

    /// Reads a number: all ones of the width where QEMU does not answer.
    func read(_ command: StaticString, _ address: UInt64, _ width: AccessWidth) -> UInt64 {
        state.withLock { state in
            guard state.failure == nil else { return width.allOnes }
            do throws(QTestError) {
                let answer = try ask(Self.words(command, address), &state)
                guard let value = Self.number(answer) else {
                    throw failed(.badAnswer, "\"\(QTestError.shown(answer.utf8))\" is no number")
                }
                return value & width.allOnes
            } catch {
                state.failure = error
                return width.allOnes
            }
        }
    }

    /// Takes what has come unasked, without waiting, and the pins that have changed since the last call.
    func takeChanges() -> [PinChange] {
        state.withLock { state in
            if state.failure == nil {
                do throws(QTestError) {
                    while try receive(&state) {}
                    while let line = try nextLine(&state) {
                        // With nothing outstanding, nothing but a change may come.
                        guard state.outstanding > 0 else {
                            throw failed(.badAnswer, "an answer that nothing was asked for: \"\(QTestError.shown(line.utf8))\"")
                        }
                        try check(line, &state)
                    }
                } catch { state.failure = error }
            }
            defer { state.changes = [] }
            return state.changes
        }
    }

    /// Whether something can be read of the socket, waiting so long for it.
    func waitReadable(_ nanoseconds: Int64) -> Bool { cdma_socket_wait(descriptor, false, nanoseconds) != 0 }

    // MARK: Under the lock

    private func ask(_ words: [UInt8], _ state: inout State) throws(QTestError) -> String {
        if let failure = state.failure { throw failure }
        do throws(QTestError) {
            append(words, &state)
            try send(&state)
            // The answer is the last of those that are outstanding.
            try take(state.outstanding - 1, &state)
            let line = try waitLine(&state)
            return try check(line, &state)
        } catch {
            state.failure = error
            throw error
        }
    }

    private func append(_ words: [UInt8], _ state: inout State) {
        state.unsent += words
        state.unsent.append(UInt8(ascii: "\n"))
        state.unsentCount += 1
    }

    private func send(_ state: inout State) throws(QTestError) {
        let limit = Deadline.after(patience)
        var sent = 0
        // Ends: each turn sends a byte at least, or waits until the limit.
        while sent < state.unsent.count {
            // SAFETY: the C function reads the bytes of the array from `sent` on.
            let count = unsafe state.unsent.withUnsafeBytes { bytes -> Int64 in
                guard let base = bytes.baseAddress else { return 0 }
                return unsafe cdma_socket_send(descriptor, base + sent, bytes.count - sent, Self.doesNotWait)
            }
            if count > 0 {
                sent += Int(count)
            } else if count == -Int64(EAGAIN) || count == -Int64(EINTR) {
                // It may not read because its own answers are not read.
                while try receive(&state) {}
                try rest(limit, writes: true)
            } else {
                throw ended()
            }
        }
        state.outstanding += state.unsentCount
        state.unsent = []
        state.unsentCount = 0
    }

    /// Takes the next `count` answers.
    private func take(_ count: Int, _ state: inout State) throws(QTestError) {
        for _ in 0..<max(count, 0) {
            let line = try waitLine(&state)
            let answer = try check(line, &state)
            // A write has nothing to say.
            guard answer.isEmpty else {
                throw failed(.badAnswer, "\"\(QTestError.shown(line.utf8))\" is no answer to a write")
            }
        }
    }

    /// An answer: what stands behind OK.
    @discardableResult
    private func check(_ line: String, _ state: inout State) throws(QTestError) -> String {
        state.outstanding -= 1
        if line == "OK" { return "" }
        guard line.hasPrefix("OK ") else {
            throw failed(.badAnswer, "\"\(QTestError.shown(line.utf8))\" where OK was expected")
        }
        return String(line.dropFirst(3))
    }

    /// The next line that is no change of a pin.
    private func waitLine(_ state: inout State) throws(QTestError) -> String {
        let limit = Deadline.after(patience)
        while true {
            if let line = try nextLine(&state) { return line }
            // Changes of pins may come without end: they put no answer off beyond the limit.
            if try receive(&state), Deadline.now < limit { continue }
            try rest(limit, writes: false)
        }
    }

    private func rest(_ limit: Deadline, writes: Bool) throws(QTestError) {
        let left = Deadline.now.nanoseconds(until: limit)
        guard left > 0 else { throw failed(.noAnswer, "QEMU has not answered within \(patience)") }
        // A slice, so that an error of the call costs no more.
        let waited = cdma_socket_wait(descriptor, writes, min(Int64(clamping: left), 1_000_000_000))
        guard waited >= 0 else { throw failed(.noAnswer, "cannot wait for QEMU: \(DMAError.sentence(-waited))") }
    }

    /// A whole line out of what was received; changes of pins are kept.
    private func nextLine(_ state: inout State) throws(QTestError) -> String? {
        while let end = state.received.firstIndex(of: UInt8(ascii: "\n")) {
            let line = String(decoding: state.received[..<end], as: UTF8.self)
            state.received.removeSubrange(...end)
            guard line.hasPrefix("IRQ ") else { return line }
            let words = line.split(separator: " ")
            guard words.count == 3, words[1] == "raise" || words[1] == "lower", let pin = Int(words[2]), pin >= 0 else {
                throw failed(.badAnswer, "\"\(QTestError.shown(line.utf8))\" is no interrupt")
            }
            // Pin 0 is the machine's timer, 18 times a second.
            if pin != 0, state.changes.count < Self.mostChanges {
                state.changes.append(PinChange(pin: pin, isRaised: words[1] == "raise"))
            }
        }
        guard state.received.count <= Self.longestLine else {
            throw failed(.badAnswer, "a line of more than \(Self.longestLine) bytes")
        }
        return nil
    }

    /// Takes what is there: whether that was anything.
    private func receive(_ state: inout State) throws(QTestError) -> Bool {
        // What is not taken out as lines is not read on for ever.
        guard state.received.count <= Self.longestLine * (Self.mostPosted + 16) else { return false }
        // SAFETY: the C function writes at most as many bytes as it is told the buffer has.
        let (count, bytes) = unsafe withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { buffer -> (Int64, [UInt8]) in
            guard let base = buffer.baseAddress else { return (0, []) }
            let count = unsafe cdma_socket_receive(descriptor, base, buffer.count, Self.doesNotWait)
            return (count, unsafe Array(buffer.prefix(Int(max(count, 0)))))
        }
        if count == -Int64(EAGAIN) || count == -Int64(EINTR) { return false }
        guard count > 0 else { throw ended() }
        state.received += bytes
        return true
    }

    // MARK: Errors

    private func failed(_ code: QTestError.Code, _ detail: String) -> QTestError {
        QTestError(code, detail, lastWords: process.lastWords)
    }

    private func ended() -> QTestError {
        // The socket closes before the process has ended and its last words were read.
        _ = process.wait(until: .after(milliseconds: 1000))
        return failed(.ended, "QEMU has closed the connection: \(process.ending ?? "it still runs")")
    }

    // MARK: Text

    private static let digits = Array("0123456789abcdef".utf8)

    static func words(_ command: StaticString, _ numbers: UInt64...) -> [UInt8] {
        var bytes = Array(command.description.utf8)
        for number in numbers {
            bytes += [UInt8(ascii: " "), UInt8(ascii: "0"), UInt8(ascii: "x")]
            var shift = max(64 - number.leadingZeroBitCount + 3, 4) & ~3
            while shift > 0 {
                shift -= 4
                bytes.append(digits[Int(number >> UInt64(shift) & 15)])
            }
        }
        return bytes
    }

    /// "0x" and hexadecimal digits.
    static func number(_ text: String) -> UInt64? {
        guard text.hasPrefix("0x"), (3...18).contains(text.utf8.count) else { return nil }
        let digits = text.dropFirst(2)
        guard digits.utf8.allSatisfy({ (48...57).contains($0) || (97...102).contains($0) || (65...70).contains($0) }) else {
            return nil
        }
        return UInt64(digits, radix: 16)
    }
}
