// SPDX-License-Identifier: Apache-2.0

/// What a device is used for, which would be lost with its driver.
struct VFIOUses {
    private let files: any SysfsFiles
    init(_ files: any SysfsFiles) { self.files = files }

    /// The first use found: a mounted file system, swap, the default route, the console; nil for none.
    func use(of address: String) -> String? {
        guard let device = files.real("/sys/bus/pci/devices/\(address)") else { return nil }
        return disks(device) ?? route(device) ?? console(device)
    }

    /// Whether a path of sysfs belongs to the device.
    private func isBelow(_ path: String, _ device: String) -> Bool {
        files.real(path).map { $0 == device || $0.hasPrefix(device + "/") } ?? false
    }

    // MARK: Disks

    private func disks(_ device: String) -> String? {
        var own: Set<String> = []
        for number in (files.names(in: "/sys/dev/block") ?? []) where isBelow("/sys/dev/block/\(number)", device) {
            own.insert(number)
        }
        guard !own.isEmpty else { return nil }
        // What lies over them: device mapper, md, and others over those. Ends: each is added once.
        var queue = Array(own)
        while let number = queue.popLast() {
            for holder in files.names(in: "/sys/dev/block/\(number)/holders") ?? [] {
                guard let above = files.text("/sys/class/block/\(holder)/dev"), own.insert(above).inserted else { continue }
                queue.append(above)
            }
        }
        // Each line: ID, parent, major:minor, root, mount point.
        for line in lines("/proc/self/mountinfo") {
            let words = line.split(separator: " ")
            if words.count > 4, own.contains(String(words[2])) { return "a file system of it is mounted at \(words[4])" }
        }
        // A file system over several disks has a number of its own, and names its source.
        let names = own.compactMap { files.real("/sys/dev/block/\($0)")?.split(separator: "/").last.map { "/dev/\($0)" } }
        for line in lines("/proc/self/mountinfo") {
            let words = line.split(separator: " ")
            guard let dash = words.firstIndex(of: "-"), dash + 2 < words.count, words.count > 4 else { continue }
            if names.contains(String(words[dash + 2])) { return "a file system of it is mounted at \(words[4])" }
        }
        for line in lines("/proc/swaps").dropFirst() {
            if let name = line.split(separator: " ").first, names.contains(String(name)) { return "\(name) of it is swap" }
        }
        return nil
    }

    // MARK: Network

    private func route(_ device: String) -> String? {
        let own = Set((files.names(in: "/sys/class/net") ?? []).filter { isBelow("/sys/class/net/\($0)", device) })
        guard !own.isEmpty else { return nil }
        // Interfaces over them: bridges, bonds, VLANs. Ends: each is added once.
        var all = own
        var queue = Array(own)
        while let name = queue.popLast() {
            for entry in files.names(in: "/sys/class/net/\(name)") ?? [] where entry.hasPrefix("upper_") {
                if all.insert(String(entry.dropFirst(6))).inserted { queue.append(String(entry.dropFirst(6))) }
            }
        }
        // Interface, destination, gateway, flags, …, mask in the eighth.
        for line in lines("/proc/net/route").dropFirst() {
            let words = line.split { $0 == " " || $0 == "\t" }
            guard words.count > 7, words[1] == "00000000", words[7] == "00000000" else { continue }
            if all.contains(String(words[0])) { return "the default route goes by \(words[0])" }
        }
        // Destination, its prefix length, …, interface last; the loopback's are routes that reject.
        for line in lines("/proc/net/ipv6_route") {
            let words = line.split { $0 == " " || $0 == "\t" }
            guard words.count > 9, words[1] == "00", words[0].allSatisfy({ $0 == "0" }) else { continue }
            if all.contains(String(words[words.count - 1])) { return "the default route goes by \(words[words.count - 1])" }
        }
        return nil
    }

    // MARK: Console

    private func console(_ device: String) -> String? {
        // Name, flags, and what it is.
        for line in lines("/proc/consoles") {
            guard let name = line.split(separator: " ").first else { continue }
            if isBelow("/sys/class/tty/\(name)", device) { return "the console is on its \(name)" }
        }
        guard
            files.names(in: "/sys/class/graphics")?.contains(where: {
                $0 == "fb0" && isBelow("/sys/class/graphics/fb0", device)
            })
                != true
        else { return "the console is on its screen" }
        return files.text("\(device)/boot_vga") == "1" && files.exists("\(device)/driver")
            ? "the console is on its screen" : nil
    }

    private func lines(_ path: String) -> [Substring] { files.text(path)?.split(separator: "\n") ?? [] }
}
