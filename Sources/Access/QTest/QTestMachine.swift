// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMAAccess
public import DMACore
internal import DMAEngineKit
internal import DMAPCISpecification
internal import DMATypes
internal import DMAVTDSpecification

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#endif

/// A machine of QEMU's whose processor sleeps, and whose devices are driven from here: QEMU behind its qtest protocol, without a guest.
///
/// The clock runs, so that timers, networks and sound move; the processor executes `hlt`. The machine's memory is shared with this process.
///
/// ```swift
/// let machine = try QTestMachine(QTestConfiguration(devices: ["edu,addr=5"]))
/// let device = try QuietDevice(opening: machine.device(at: 5))
/// ```
///
/// QEMU is a child of this process: it inherits its socket and its memory and nothing else, it is waited for, and the kernel kills it should this process
/// end without stopping it.
///
/// Thread rules: everything may be called from any thread.
public final class QTestMachine: Sendable {
    /// The oldest version that is spoken to.
    static let oldest = 7
    /// Where the words are to which messages of interrupts go: one page of the machine's memory.
    static let messages: UInt64 = 0x10_0000
    /// Memory that is mapped for devices begins after them.
    static let firstMapped: UInt64 = 0x11_0000

    /// For people.
    public let name: String
    /// QEMU's version, as it says it: "7.2.22".
    public let version: String
    /// The bus addresses of all of the machine's devices: addresses of its memory, or what its IOMMU translates.
    public let space: AddressSpace
    let connection: QTestConnection
    let host: PCIHost
    let memory: GuestMemory
    let process: QEMUProcess
    let watcher: QTestWatcher
    private let unit: TranslationUnit?

    private struct State {
        var claimed: Set<QTestSlot> = []
        var messages = 0
    }
    private let state = Locked(State())

    /// Starts QEMU, and returns when it has built the machine.
    ///
    /// - Throws: every code of ``QTestError``.
    public init(_ configuration: QTestConfiguration = QTestConfiguration()) throws(QTestError) {
        guard configuration.memory % (1 << 20) == 0, (2 << 20...2 << 30).contains(configuration.memory) else {
            throw QTestError(
                .badConfiguration, "\(configuration.memory) bytes of memory",
                cure: "ask for whole MiB, 2 at least and 2048 at most")
        }
        guard !configuration.hasIOMMU || PCIHost.isQ35(configuration.machine) else {
            throw QTestError(
                .badConfiguration, "an Intel IOMMU on the board \"\(configuration.machine)\"", cure: "use the board q35")
        }
        let program = try Self.find(configuration.program)
        version = try Self.version(program, configuration.patience)
        name = "qtest \(configuration.machine.split(separator: ",").first ?? "")"
        memory = try GuestMemory(configuration.memory)
        let rom = try Self.sleepingROM()
        var ends: [Int32] = [-1, -1]
        // SAFETY: the C function writes two words.
        let paired = unsafe cdma_socket_pair(&ends)
        guard paired == 0 else { throw QTestError(.noResources, "no socket: \(DMAError.sentence(-paired))") }
        do throws(QTestError) {
            process = try QEMUProcess(
                program, Self.arguments(configuration, memory, socket: ends[1], rom: rom),
                keeping: [ends[1], memory.descriptor, rom.descriptor])
        } catch {
            for end in ends { _ = cdma_close(end) }
            throw error
        }
        _ = cdma_close(ends[1])
        connection = QTestConnection(ends[0], process, patience: configuration.patience)
        do throws(QTestError) {
            // QEMU takes the socket before it has built the board, and loads ROMs afterwards: only an answer means ready.
            let order = try connection.ask("endianness")
            guard order == "little" || order == "big" else {
                throw QTestError(
                    .badAnswer, "\"\(QTestError.shown(order.utf8))\" is no order of bytes", lastWords: process.lastWords)
            }
            host = try PCIHost(connection, machine: configuration.machine)
            unit =
                configuration.hasIOMMU
                ? try TranslationUnit(connection, memory, from: Self.firstMapped, message: Self.messages) : nil
        } catch {
            process.stop(within: 0)
            throw error
        }
        let pages = GuestBackend(memory, process)
        var backend: any MappingBackend = pages
        var aperture = Self.firstMapped...configuration.memory - 1
        if let unit {
            backend = TranslatedBackend(pages, unit)
            aperture = unit.usable.lowerBound + unit.offset...unit.usable.upperBound + unit.offset
        }
        do throws(DMAError) {
            space = try AddressSpace(
                name: name, translation: .translated(backend, apertures: [aperture], pageSizes: [4096]))
        } catch { throw QTestError(.noResources, "no address space: \(error.request)") }
        watcher = QTestWatcher(connection, memory)
    }

    deinit {
        watcher.stop()
        process.stop(within: 2000)
    }

    /// Ends QEMU. Its devices answer no more.
    public func stop() {
        watcher.stop()
        process.stop(within: 2000)
        // So that the connection takes note of it.
        _ = connection.takeChanges()
    }

    /// Whether QEMU runs.
    public var isRunning: Bool { !process.hasEnded && connection.failure == nil }
    /// QEMU's number among processes; nil where it has ended.
    public var processIdentifier: Int32? { process.identifier }
    /// Why it answers no more; nil while it does.
    public var failure: QTestError? { connection.failure }

    /// The accesses that the machine's IOMMU has refused since the last call. Without ``QTestConfiguration/hasIOMMU`` there are none.
    ///
    /// QEMU's unit has one record: of several faults in a row, the first is kept and `hasLost` is true, or those of the same device are one.
    public func takeFaults() -> (faults: [TranslationFault], hasLost: Bool) {
        guard let unit else { return ([], false) }
        let (records, hasLost) = unit.takeFaults()
        return (records.map(TranslationFault.init), hasLost)
    }

    // MARK: Devices

    /// The device in a slot of bus 0. What is there is looked at when it is opened.
    ///
    /// - Parameters:
    ///   - slot: the number that `addr=` has in QEMU's option, 0 to 31. Others have no device.
    ///   - function: 0 to 7.
    public func device(at slot: Int, function: Int = 0) -> QTestDevice {
        QTestDevice(self, QTestSlot(device: slot, function: function))
    }

    /// The slots of bus 0 that have a device, with what it calls itself: vendor and device ID.
    public func devices() -> [(slot: Int, function: Int, vendor: UInt16, device: UInt16)] {
        var found: [(slot: Int, function: Int, vendor: UInt16, device: UInt16)] = []
        for device in 0..<32 {
            for function in 0..<8 {
                let slot = QTestSlot(device: device, function: function)
                let word = host.read(slot, 0, .word)
                let vendor = UInt16(truncatingIfNeeded: word)
                guard vendor != .max, vendor != 0 else {
                    if function == 0 { break }
                    continue
                }
                found.append((device, function, vendor, UInt16(truncatingIfNeeded: word >> 16)))
                // Other functions are there only where the first says so.
                if function == 0, host.read(slot, 0x0e, .byte) & 0x80 == 0 { break }
            }
        }
        return found
    }

    func claim(_ slot: QTestSlot) -> Bool { state.withLock { $0.claimed.insert(slot).inserted } }
    func release(_ slot: QTestSlot) { state.withLock { _ = $0.claimed.remove(slot) } }

    /// Addresses for so many messages, each a word of 32 bits of its own; nil where there is no more room. They are not given back: a device keeps
    /// those that it had.
    func allocateMessages(_ count: Int) -> UInt64? {
        state.withLock { state in
            guard count > 0, count <= 1024 - state.messages else { return nil }
            defer { state.messages += count }
            return Self.messages + UInt64(4 * state.messages)
        }
    }

    // MARK: Starting

    private static func arguments(
        _ configuration: QTestConfiguration, _ memory: GuestMemory, socket: Int32, rom: borrowing ROM
    ) -> [String] {
        var arguments = [
            "-display", "none", "-nodefaults", "-no-user-config", "-accel", "tcg",
            "-chardev", "socket,id=qtest,fd=\(socket)", "-qtest", "chardev:qtest", "-qtest-log", "none",
            "-object",
            "memory-backend-file,id=ram0,size=\(memory.count),mem-path=/proc/self/fd/\(memory.descriptor),share=on",
            "-m", "\(memory.count >> 20)", "-M", "\(configuration.machine),memory-backend=ram0",
            "-bios", "/proc/self/fd/\(rom.descriptor)",
        ]
        // Of the accelerators only one with a processor has a clock that runs by itself; the processor sleeps.
        if case .fast = configuration.clock { arguments += ["-icount", "shift=0,sleep=off"] }
        // Before the devices whose accesses it translates.
        if configuration.hasIOMMU { arguments += ["-device", "intel-iommu"] }
        for device in configuration.devices { arguments += ["-device", device] }
        return arguments + configuration.arguments
    }

    /// A file of QEMU's first instructions.
    private struct ROM: ~Copyable {
        let descriptor: Int32
        deinit { _ = cdma_close(descriptor) }
    }

    /// 65,536 bytes whose last 16, where an x86 begins, are: no interrupts, sleep, again.
    private static func sleepingROM() throws(QTestError) -> ROM {
        let count = 65_536
        var bytes = [UInt8](repeating: 0, count: count)
        bytes.replaceSubrange(0xfff0..<0xfff4, with: [0xfa, 0xf4, 0xeb, 0xfd])
        // SAFETY: the C functions read the bytes of the array.
        let made = unsafe cdma_shared_memory("swift-dma-rom", count, 0)
        guard made >= 0 else { throw QTestError(.noResources, "no memory file: \(DMAError.sentence(-made))") }
        let rom = ROM(descriptor: made)
        let put = unsafe cdma_put_file(made, &bytes, count, 0)
        guard put == 0 else { throw QTestError(.noResources, "cannot write a memory file: \(DMAError.sentence(-put))") }
        return rom
    }

    /// The program's path: looked for in PATH, where it is a name.
    static func find(_ program: String) throws(QTestError) -> String {
        if program.contains("/") { return program }
        // SAFETY: getenv(3) answers nil or a text that ends with a zero; it is copied at once. access(2) reads the path.
        let path = unsafe getenv("PATH").map { unsafe String(cString: $0) } ?? "/usr/bin:/bin"
        for folder in path.split(separator: ":") where unsafe access("\(folder)/\(program)", X_OK) == 0 {
            return "\(folder)/\(program)"
        }
        throw QTestError(.missing, "no \(program) in PATH")
    }

    /// Asks the program for its version.
    static func version(_ program: String, _ patience: Duration) throws(QTestError) -> String {
        let process = try QEMUProcess(program, ["--version"])
        guard process.wait(until: .after(patience)) else {
            process.stop(within: 0)
            throw QTestError(
                .noAnswer, "\(program) --version has not ended within \(patience)", lastWords: process.lastWords)
        }
        let words = QTestError.shown(process.output).split(separator: " ")
        guard let place = words.firstIndex(of: "version"), place + 1 < words.count,
            let major = Int(words[place + 1].prefix { $0.isNumber })
        else {
            throw QTestError(
                .badAnswer, "\(program) --version names no version: \(process.ending ?? "")", lastWords: process.lastWords,
                cure: "name a program of QEMU's, as qemu-system-x86_64")
        }
        let version = String(words[place + 1].prefix(32))
        guard major >= oldest else { throw QTestError(.tooOld, "\(program) is version \(version)") }
        return version
    }
}
