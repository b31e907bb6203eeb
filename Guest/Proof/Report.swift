// SPDX-License-Identifier: Apache-2.0

import CDMA
import DMACore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

enum Outcome: String { case pass, fail }

/// What a check found wrong.
struct Failure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// One line for Guest/run, written at once: the console is shared.
func report(_ name: String, _ outcome: Outcome, _ detail: String) {
    let line = "CHECK \(name) \(outcome.rawValue) \(detail.split(separator: "\n").joined(separator: " "))\n"
    let bytes = Array(line.utf8)
    // SAFETY: write(2) reads the bytes of the array.
    _ = unsafe bytes.withUnsafeBytes { unsafe write(1, $0.baseAddress, $0.count) }
}

/// Runs a check, and reports what it answers or throws, with its time.
func check(_ name: String, _ body: () async throws -> String) async {
    let began = cdma_monotonic_nanoseconds()
    func milliseconds() -> Int64 { (cdma_monotonic_nanoseconds() - began) / 1_000_000 }
    do {
        let detail = try await body()
        report(name, .pass, "\(detail) [\(milliseconds()) ms]")
    } catch { report(name, .fail, "\(error) [\(milliseconds()) ms]") }
}

/// Makes an empty file, for the script that waits for it.
func touch(_ path: String) {
    // SAFETY: open(2) reads the path.
    let file = unsafe open(path, O_WRONLY | O_CREAT, 0o666)
    if file >= 0 { close(file) }
}

/// Lines of the kernel's log that tell of an access that the IOMMU has refused.
struct FaultLog {
    /// nil where what the kernel logs names no address that can be relied on.
    private let needle: String?

    /// Whether each refused access has a line of its own.
    let reportsEach: Bool

    init(_ iommu: String) {
        reportsEach = iommu == "intel"
        switch iommu {
        case "intel": needle = "DMAR: [DMA"
        case "virtio": needle = "fault"
        default: needle = nil
        }
    }

    var isReadable: Bool { needle != nil }

    /// The lines so far.
    func lines() -> [String] {
        guard let needle else { return [] }
        // SAFETY: open(2) reads the path; read(2) writes at most as many bytes as the array has.
        let file = unsafe open("/dev/kmsg", O_RDONLY | O_NONBLOCK)
        guard file >= 0 else { return [] }
        defer { close(file) }
        var found: [String] = []
        var record = [UInt8](repeating: 0, count: 8192)
        // One record for each call; ends at the last one.
        while true {
            let count = unsafe read(file, &record, record.count)
            if count < 0, errno == EPIPE { continue }
            guard count > 0 else { return found }
            let text = String(decoding: record.prefix(count), as: UTF8.self)
            let line = text.split(separator: ";", maxSplits: 1).last.map(String.init) ?? text
            if line.contains(needle) { found.append(line.split(separator: "\n").first.map(String.init) ?? line) }
        }
    }

    /// Waits for a line beyond those from before that names an address.
    func awaitFault(at address: UInt64, after before: Int) throws -> String {
        guard isReadable else { return "this IOMMU's faults name no address that can be relied on" }
        let hex = "0x" + String(address, radix: 16)
        let deadline = Deadline.after(milliseconds: 30_000)
        while Deadline.now < deadline {
            if let line = lines().dropFirst(before).first(where: { $0.contains(hex) }) { return line }
            cdma_sleep_until(Deadline.after(milliseconds: 50).nanoseconds)
        }
        throw Failure("the kernel logged no fault at \(hex): \(lines().dropFirst(before))")
    }
}
