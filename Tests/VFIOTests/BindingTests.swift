// SPDX-License-Identifier: Apache-2.0

import DMAAccess
import DMATypes
import Testing

@testable import DMAVFIOAccess

/// A sysfs with one function, whose files do what the kernel's do when they are written.
final class ScriptedSysfs: SysfsFiles {
    static let address = "0000:01:00.0"
    static let folder = "/sys/bus/pci/devices/0000:01:00.0"
    static let real = "/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0"

    struct State {
        var texts: [String: String] = [:]
        var folders: [String: [String]] = [:]
        /// Where paths lead.
        var reals: [String: String] = [:]
        var driver: String? = "nvme"
        var override: String?
        var hasVFIO = true
        var hasIOMMU = true
        /// vfio-pci refuses to be probed.
        var refusesProbe = false
        var writes: [VFIOBinding.Step] = []
        /// Writes from this one on do not happen: the process is dead.
        var killed: Int?
        var holder: Int32?
        var refused: [String: Int32] = [:]
    }
    let state = Locked(State())
    func with<R: Sendable>(_ body: (inout State) -> R) -> R { state.withLock { body(&$0) } }

    func exists(_ path: String) -> Bool {
        with { state in
            switch path {
            case Self.folder: true
            case "/sys/bus/pci/drivers/vfio-pci": state.hasVFIO
            case "\(Self.folder)/iommu_group": state.hasIOMMU
            case "\(Self.real)/driver": state.driver != nil
            default: state.texts[path] != nil || state.folders[path] != nil
            }
        }
    }
    func text(_ path: String) -> String? {
        with { $0.texts[path] ?? (path == "\(Self.folder)/driver_override" ? $0.override ?? "(null)" : nil) }
    }
    func link(_ path: String) -> String? {
        with { state in
            switch path {
            case "\(Self.folder)/driver": state.driver.map { "../../bus/pci/drivers/\($0)" }
            case "\(Self.folder)/iommu_group": state.hasIOMMU ? "../../kernel/iommu_groups/7" : nil
            default: nil
            }
        }
    }
    func names(in folder: String) -> [String]? { with { $0.folders[folder] } }
    func real(_ path: String) -> String? { path == Self.folder ? Self.real : with { $0.reals[path] } }
    func holder(of path: String) -> Int32? { path == "/dev/vfio/7" ? with { $0.holder } : nil }

    func write(_ text: String, to path: String) -> Int32 {
        with { state in
            // Nothing of a dead process happens; the test does not look at what it is told.
            if let killed = state.killed, state.writes.count >= killed { return -4 }
            state.writes.append(VFIOBinding.Step(path: path, text: text))
            if let error = state.refused[path] { return -error }
            switch path {
            case "\(Self.folder)/driver_override":
                // drivers/base/driver.c: an empty write changes nothing, a line's end clears.
                if text == "\n" { state.override = nil } else if !text.isEmpty { state.override = text }
            case "\(Self.folder)/driver/unbind":
                guard state.driver != nil, text == Self.address else { return -19 }
                state.driver = nil
            case "/sys/bus/pci/drivers_probe":
                guard text == Self.address else { return -19 }
                guard state.driver == nil else { return 0 }
                if state.override == "vfio-pci" {
                    if state.hasVFIO, !state.refusesProbe { state.driver = "vfio-pci" }
                } else if state.override == nil {
                    state.driver = "nvme"
                }
            default: return -2
            }
            return 0
        }
    }
}

@Suite("VFIO: binding and unbinding")
struct BindingTests {
    private let sysfs = ScriptedSysfs()
    private var binding: VFIOBinding { VFIOBinding(sysfs) }
    private let address = ScriptedSysfs.address

    private func error(_ body: () throws(AccessError) -> Void) -> AccessError? {
        do throws(AccessError) { try body() } catch { return error }
        return nil
    }

    @Test("bound, and back: the override is set and cleared, and a second call of each does nothing")
    func both() throws {
        let plan = try binding.bindPlan(address)
        #expect(
            plan.map(\.text) == ["vfio-pci", address, address]
                && plan.map(\.path) == [
                    "\(ScriptedSysfs.folder)/driver_override", "\(ScriptedSysfs.folder)/driver/unbind",
                    "/sys/bus/pci/drivers_probe",
                ])
        #expect(sysfs.with { $0.writes.isEmpty })
        try binding.bind(address)
        #expect(sysfs.with { $0.driver } == "vfio-pci" && sysfs.with { $0.override } == "vfio-pci")
        #expect(sysfs.with { $0.writes } == plan)
        #expect(try binding.bindPlan(address).isEmpty)
        try binding.bind(address)
        try binding.unbind(address)
        #expect(sysfs.with { $0.driver } == "nvme" && sysfs.with { $0.override } == nil)
        #expect(try binding.unbindPlan(address).isEmpty)
    }

    @Test("killed between each two writes of a bind, and of an unbind: the next unbind mends it", arguments: 0..<4)
    func killed(_ writes: Int) throws {
        sysfs.with { $0.killed = writes }
        _ = error { () throws(AccessError) in try binding.bind(address) }
        sysfs.with { $0.killed = nil }
        try binding.unbind(address)
        #expect(sysfs.with { $0.driver } == "nvme" && sysfs.with { $0.override } == nil)

        try binding.bind(address)
        sysfs.with { $0.killed = $0.writes.count + writes }
        _ = error { () throws(AccessError) in try binding.unbind(address) }
        sysfs.with { $0.killed = nil }
        try binding.unbind(address)
        #expect(sysfs.with { $0.driver } == "nvme" && sysfs.with { $0.override } == nil)
        // And it can be bound again.
        try binding.bind(address)
        #expect(sysfs.with { $0.driver } == "vfio-pci")
    }

    @Test("a bind that vfio-pci does not take, or whose writes are refused, restores the driver and says so")
    func restored() throws {
        sysfs.with { $0.refusesProbe = true }
        let found = try #require(error { () throws(AccessError) in try binding.bind(address) })
        #expect(found.code == .refused && found.detail.contains("nvme has it as before"))
        #expect(sysfs.with { $0.driver } == "nvme" && sysfs.with { $0.override } == nil)
        sysfs.with { state in
            state.refusesProbe = false
            state.refused["\(ScriptedSysfs.folder)/driver/unbind"] = 16
        }
        let refused = try #require(error { () throws(AccessError) in try binding.bind(address) })
        #expect(refused.detail.contains("driver/unbind") && refused.detail.contains("nvme has it as before"))
        #expect(sysfs.with { $0.override } == nil)
    }

    @Test("vfio-pci absent, no IOMMU, another program's override, a bad name, no such function: nothing is written")
    func refused() throws {
        #expect(error { () throws(AccessError) in try binding.bind("../../etc") }?.code == .absent)
        #expect(error { () throws(AccessError) in try binding.unbind("0000:09:00.0") }?.code == .absent)
        sysfs.with { $0.hasVFIO = false }
        #expect(error { () throws(AccessError) in try binding.bind(address) }?.cure == "load it: modprobe vfio-pci")
        sysfs.with { state in (state.hasVFIO, state.hasIOMMU) = (true, false) }
        #expect(error { () throws(AccessError) in try binding.bind(address) }?.cure.contains("intel_iommu=on") == true)
        sysfs.with { state in (state.hasIOMMU, state.override) = (true, "pci-stub") }
        #expect(error { () throws(AccessError) in try binding.bind(address) }?.detail.contains("pci-stub") == true)
        #expect(sysfs.with { $0.writes.isEmpty })
    }

    @Test("an unbind names the process that has the device open")
    func held() throws {
        try binding.bind(address)
        sysfs.with { $0.holder = 4711 }
        let found = try #require(error { () throws(AccessError) in try binding.unbind(address) })
        #expect(found.code == .busy && found.detail.contains("4711"))
        #expect(sysfs.with { $0.driver } == "vfio-pci")
    }

    // MARK: Uses

    /// What a function with these files would be refused for.
    private func use(_ change: (inout ScriptedSysfs.State) -> Void) -> String? {
        let sysfs = ScriptedSysfs()
        sysfs.state.withLock { change(&$0) }
        let found = error { () throws(AccessError) in _ = try VFIOBinding(sysfs).bindPlan(address) }
        #expect(found == nil || found?.code == .busy)
        return found?.detail
    }

    /// A disk with a partition behind the function, and a volume over it.
    private func disk(_ state: inout ScriptedSysfs.State) {
        state.folders["/sys/dev/block"] = ["259:0", "259:1", "8:0", "253:0"]
        state.reals["/sys/dev/block/259:0"] = "\(ScriptedSysfs.real)/nvme/nvme0/nvme0n1"
        state.reals["/sys/dev/block/259:1"] = "\(ScriptedSysfs.real)/nvme/nvme0/nvme0n1/nvme0n1p1"
        state.reals["/sys/dev/block/8:0"] = "/sys/devices/pci0000:00/0000:00:02.0/ata1/block/sda"
        state.reals["/sys/dev/block/253:0"] = "/sys/devices/virtual/block/dm-0"
        state.folders["/sys/dev/block/259:1/holders"] = ["dm-0"]
        state.texts["/sys/class/block/dm-0/dev"] = "253:0"
    }

    @Test("a mounted file system: of a partition, of a volume over it, by its source; swap")
    func disks() {
        #expect(use { disk(&$0) } == nil)
        let other = "20 1 8:0 / / rw - ext4 /dev/sda rw"
        func mounted(_ line: String) -> String? {
            use { state in
                disk(&state)
                state.texts["/proc/self/mountinfo"] = "\(other)\n\(line)"
            }
        }
        #expect(mounted("") == nil)
        #expect(mounted("21 1 259:1 / /srv rw - ext4 /dev/nvme0n1p1 rw")?.contains("/srv") == true)
        #expect(mounted("21 1 253:0 / /volume rw - xfs /dev/mapper/x rw")?.contains("/volume") == true)
        #expect(mounted("21 1 0:40 /@ /pool rw,a shared:1 - btrfs /dev/nvme0n1p1 rw")?.contains("/pool") == true)
        #expect(mounted("21 1 0:41 / /other rw - btrfs /dev/sda rw") == nil)
        let swap = use { state in
            disk(&state)
            state.texts["/proc/swaps"] = "Filename Type Size Used Priority\n/dev/dm-0 partition 1000 0 -2"
        }
        #expect(swap?.contains("swap") == true)
    }

    @Test("the default route, by the interface or by a bridge over it; another route is none")
    func routes() {
        func routed(_ v4: String, _ v6: String = "") -> String? {
            use { state in
                state.folders["/sys/class/net"] = ["eth0", "eth1", "br0"]
                state.reals["/sys/class/net/eth0"] = "\(ScriptedSysfs.real)/net/eth0"
                state.reals["/sys/class/net/eth1"] = "/sys/devices/pci0000:00/0000:00:03.0/net/eth1"
                state.reals["/sys/class/net/br0"] = "/sys/devices/virtual/net/br0"
                state.folders["/sys/class/net/eth0"] = ["address", "upper_br0"]
                state.texts["/proc/net/route"] = "Iface\tDestination\tGateway\n" + v4
                state.texts["/proc/net/ipv6_route"] = v6
            }
        }
        let rest = "0101A8C0\t0003\t0\t0\t0"
        #expect(routed("eth0\t00000000\t\(rest)\t00000000\t0\t0\t0")?.contains("eth0") == true)
        #expect(routed("br0\t00000000\t\(rest)\t00000000\t0\t0\t0")?.contains("br0") == true)
        #expect(routed("eth1\t00000000\t\(rest)\t00000000\t0\t0\t0") == nil)
        #expect(routed("eth0\t0001A8C0\t\(rest)\t00FFFFFF\t0\t0\t0") == nil)
        let none = String(repeating: "0", count: 32)
        #expect(routed("", "\(none) 00 \(none) 00 fe80 00000400 00000001 00000000 00000003 eth0")?.contains("eth0") == true)
        #expect(routed("", "\(none) 00 \(none) 00 fe80 00000400 00000001 00000000 00000003 eth1") == nil)
    }

    @Test("the console: a serial line, the screen")
    func consoles() {
        let serial = use { state in
            state.texts["/proc/consoles"] = "ttyS4 -W- (EC p a) 4:68"
            state.reals["/sys/class/tty/ttyS4"] = "\(ScriptedSysfs.real)/tty/ttyS4"
        }
        #expect(serial?.contains("ttyS4") == true)
        #expect(use { $0.texts["/proc/consoles"] = "tty0 -WU (EC p a) 4:7" } == nil)
        #expect(use { $0.texts["\(ScriptedSysfs.real)/boot_vga"] = "1" }?.contains("screen") == true)
        #expect(use { $0.texts["\(ScriptedSysfs.real)/boot_vga"] = "0" } == nil)
    }
}
