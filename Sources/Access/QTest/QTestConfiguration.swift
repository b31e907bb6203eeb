// SPDX-License-Identifier: Apache-2.0

/// Which machine QEMU is to be.
public struct QTestConfiguration: Sendable {
    /// How the machine's clock runs.
    public enum Clock: Sendable {
        /// As the world's.
        case real
        /// As fast as there is something to do: a device that waits for 100 ms of the machine's time is through in less. Instructions are counted,
        /// and as the processor sleeps, QEMU goes to the next timer (QEMU's -icount shift=0,sleep=off).
        case fast
    }

    /// QEMU's program: a name that is looked for in PATH, or a path.
    public var program = "qemu-system-x86_64"
    /// The board: `q35` or `pc`, with its options.
    public var machine = "q35"
    /// Bytes of the machine's memory: whole MiB, 2 at least and 2048 at most.
    public var memory: UInt64 = 256 << 20
    /// Devices, as QEMU's `-device` has them: "edu,addr=5".
    public var devices: [String] = []
    /// What else QEMU is told.
    public var arguments: [String] = []
    /// Whether an Intel IOMMU stands between the devices and the memory (QEMU's `-device intel-iommu`): a device then reaches what is mapped for it, in
    /// the directions of the mapping, and nothing else. On the board q35. Devices get half of the memory at most, and its tables take 4 KiB for each
    /// 2 MiB.
    public var hasIOMMU = false
    /// How the clock runs.
    public var clock = Clock.real
    /// How long one answer may take, the first one too.
    public var patience: Duration = .seconds(10)

    /// A machine of the board q35 with these devices.
    public init(devices: [String] = []) { self.devices = devices }
}
