// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#endif

/// The placement of an engine's workers on CPUs.
package struct Placement: Sendable {
    /// A mask of CPUs for each worker; empty where the kernel chooses.
    private let masks: [[UInt64]]

    /// Pins worker i to `cpus[i mod n]`; without CPUs, all of them to the node; without either, not at all.
    ///
    /// - Throws: `badConfiguration` for a CPU that this process may not use, or a node that the machine does not have.
    init(cpus: [Int], node: Int?) throws(DMAError) {
        let allowed = Placement.allowed
        if !cpus.isEmpty {
            var masks: [[UInt64]] = []
            for cpu in cpus {
                guard cpu >= 0, cpu < allowed.count * 64, allowed[cpu / 64] >> UInt64(cpu % 64) & 1 != 0 else {
                    throw DMAError(.badConfiguration, asked: UInt64(clamping: cpu), limit: UInt64(allowed.count * 64))
                }
                masks.append(Placement.mask([cpu]))
            }
            self.masks = masks
        } else if let node {
            guard node >= 0, let list = Placement.read("/sys/devices/system/node/node\(node)/cpulist") else {
                throw DMAError(.badConfiguration, asked: UInt64(clamping: node), limit: 0)
            }
            let here = Placement.parse(list).filter { $0 < allowed.count * 64 && allowed[$0 / 64] >> UInt64($0 % 64) & 1 != 0 }
            guard !here.isEmpty else { throw DMAError(.badConfiguration, asked: UInt64(node), limit: 0) }
            masks = [Placement.mask(here)]
        } else {
            masks = []
        }
    }

    /// Moves the calling thread, worker `index`. A CPU that was taken offline since the check leaves it where it is.
    func apply(to index: Int) {
        // SAFETY: the array lives until the call returns, and its count is its own.
        guard !masks.isEmpty else { return }
        let mask = masks[index % masks.count]
        _ = unsafe mask.withUnsafeBufferPointer { unsafe cdma_set_affinity($0.baseAddress, $0.count) }
    }

    /// 1,024 CPUs: the kernel's default mask.
    private static let words = 16

    private static var allowed: [UInt64] {
        // SAFETY: as above: the C function writes at most as many words as the array has.
        var mask = [UInt64](repeating: 0, count: words)
        let failed = unsafe mask.withUnsafeMutableBufferPointer { unsafe cdma_get_affinity($0.baseAddress, $0.count) }
        return failed == 0 ? mask : []
    }

    /// How many CPUs the calling thread may run on; 1 where the kernel does not say.
    package static var allowedCount: Int { max(allowed.reduce(0) { $0 + $1.nonzeroBitCount }, 1) }

    private static func mask(_ cpus: [Int]) -> [UInt64] {
        var mask = [UInt64](repeating: 0, count: words)
        for cpu in cpus where cpu < words * 64 { mask[cpu / 64] |= 1 << UInt64(cpu % 64) }
        return mask
    }

    /// Parses lists such as "0-3,8": Documentation/admin-guide/cputopology.rst.
    package static func parse(_ list: String) -> [Int] {
        var cpus: [Int] = []
        for part in list.split(whereSeparator: { $0 == "," || $0.isWhitespace }) {
            let ends = part.split(separator: "-").compactMap { Int($0) }
            guard let first = ends.first, let last = ends.last, first >= 0, last >= first, last < words * 64 else { continue }
            cpus.append(contentsOf: first...last)
        }
        return cpus
    }

    private static func read(_ path: String) -> String? {
        // SAFETY: the path ends with a zero and lives until the call returns; read writes at most as many bytes as the array has.
        let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe posixRead(file, $0.baseAddress, $0.count) }
        return count > 0 ? String(decoding: bytes[..<count], as: UTF8.self) : nil
    }
}

/// The system call, under a name that the static function above does not hide.
private func posixRead(_ file: Int32, _ into: UnsafeMutableRawPointer?, _ count: Int) -> Int {
    // SAFETY: the caller vouches for `count` bytes at `into`.
    unsafe read(file, into, count)
}
