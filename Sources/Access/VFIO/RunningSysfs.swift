// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// The sysfs and /proc of the kernel that this process runs on.
struct RunningSysfs: SysfsFiles {
    private static let most = 1 << 20

    func exists(_ path: String) -> Bool { real(path) != nil }

    func text(_ path: String) -> String? {
        var room = [UInt8](repeating: 0, count: Self.most)
        let capacity = room.count
        // SAFETY: the C function writes at most `capacity` bytes, and answers how many.
        let count = unsafe room.withUnsafeMutableBytes { bytes in unsafe cdma_read_file(path, bytes.baseAddress, capacity) }
        guard count >= 0 else { return nil }
        var bytes = room.prefix(Int(count))
        if bytes.last == 10 { bytes.removeLast() }
        return String(decoding: bytes, as: UTF8.self)
    }

    func link(_ path: String) -> String? { RunningKernel.shared.link(path) }
    func names(in folder: String) -> [String]? { RunningKernel.shared.names(in: folder) }

    func real(_ path: String) -> String? {
        // SAFETY: the C function writes at most the capacity, with a zero at the end, and answers the length before it.
        unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 4096) { room -> String? in
            guard let base = room.baseAddress, unsafe cdma_real_path(path, base, room.count) >= 0 else { return nil }
            return unsafe String(cString: base)
        }
    }

    func write(_ text: String, to path: String) -> Int32 {
        let bytes = Array(text.utf8)
        // SAFETY: the C function reads the path, and as many bytes as the array has.
        return unsafe bytes.withUnsafeBytes { unsafe cdma_write_setting(path, $0.baseAddress, $0.count) }
    }

    func holder(of path: String) -> Int32? {
        for name in names(in: "/proc") ?? [] {
            guard let number = Int32(name) else { continue }
            for file in names(in: "/proc/\(name)/fd") ?? [] where link("/proc/\(name)/fd/\(file)") == path { return number }
        }
        return nil
    }
}
