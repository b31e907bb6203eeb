// SPDX-License-Identifier: Apache-2.0

import DMACPUEngine
import DMACore
import Testing

@testable import DMASelfTest

@Suite("Rings of the self-test", .serialized)
struct StreamRowTests {
    private typealias Way =
        @Sendable (String, FIFOPeripheral, Domain, Int64, () throws(DMAError) -> CPUEngine)
        throws(DMAError) -> StreamRow

    /// - Parameter before: bytes on the wire before the stream begins.
    private func row(_ way: Way, depth: Int = 512, before: Int = 0) throws -> StreamRow {
        // Bytes delivered to a loopback are what the wire collects: so the wire of both directions can be corrupted.
        let peripheral = try FIFOPeripheral(depth: depth, width: 4, loopback: before > 0 && depth == 512)
        return try way("engine", peripheral, Domain(name: "rings"), 30_000_000_000) { () throws(DMAError) in
            let extra = [UInt8](repeating: 0xee, count: before)
            _ = unsafe extra.withUnsafeBytes { unsafe peripheral.deliver(RawSpan(_unsafeBytes: $0)) }
            var configuration = CPUConfiguration(depth: 8)
            configuration.peripherals = [peripheral]
            return try CPUEngine(configuration)
        }
    }

    @Test("every byte of every period arrives, in both directions")
    func whole() throws {
        for (way, direction) in [(StreamRow.capture as Way, "capture"), (StreamRow.playback as Way, "playback")] {
            let row = try row(way)
            #expect(row.passed && row.direction == direction && row.periods == 64 && row.periodBytes == 1024)
            #expect(row.bytesVerified == 65_536 && row.bytesWrong == 0 && row.lost == 0)
        }
    }

    @Test("a stream with four extra bytes is wrong from there on")
    func shifted() throws {
        let played = try row(StreamRow.playback, before: 4)
        #expect(!played.passed && played.bytesWrong > 60_000, "\(played)")
        let captured = try row(StreamRow.capture, depth: 1024, before: 4)
        #expect(!captured.passed && captured.bytesWrong > 60_000, "\(captured)")
    }

    @Test("periods that the client missed are counted")
    func late() throws {
        let row = try row(StreamRow.capture, depth: 65_536, before: 32_768)
        #expect(!row.passed && row.lost > 0, "\(row)")
    }

    @Test("a row passes if bytes were compared, none was wrong, and no period lost")
    func verdict() {
        func row(verified: UInt64 = 1, wrong: UInt64 = 0, lost: UInt64 = 0) -> StreamRow {
            StreamRow(
                engine: "a", direction: "capture", periods: 1, periodBytes: 1, bytesVerified: verified, bytesWrong: wrong,
                lost: lost)
        }
        #expect(row().passed)
        #expect(!row(wrong: 1).passed && !row(lost: 1).passed && !row(verified: 0).passed)
    }
}
