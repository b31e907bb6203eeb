// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DMAAccess
import DMACore
import DMAVFIOAccess

/// What `bind` and `unbind` share: their arguments, and the writes that they make.
struct BindingArguments: ParsableArguments {
    @Argument(help: "The device's address: 0000:01:00.0.")
    var address: String
    @Flag(help: "Print what would be written to /sys, as shell commands, and write nothing.")
    var dryRun = false
    @Flag(help: "Print JSON; its schema is Schemas/bind.schema.json.")
    var json = false

    struct Document: Encodable {
        struct Write: Encodable {
            let path: String
            let text: String
        }
        let version = 1
        let address: String
        let isDryRun: Bool
        let writes: [Write]
    }

    func run(
        _ plan: (String) throws(AccessError) -> [VFIOBinding.Step], _ act: (String) throws(AccessError) -> Void, done: String
    ) throws {
        guard let slot = DeviceSlot(address) else {
            throw ValidationError("\"\(address)\" is no address of PCI: write it as 0000:01:00.0")
        }
        let name = "\(slot)"
        let steps: [VFIOBinding.Step]
        do throws(AccessError) {
            steps = try plan(name)
            if !dryRun { try act(name) }
        } catch { throw CommandFailure("\(error)", code: 1) }
        try say(steps, name, done)
    }

    private func say(_ steps: [VFIOBinding.Step], _ name: String, _ done: String) throws {
        if json {
            let writes = steps.map { Document.Write(path: $0.path, text: $0.text) }
            return print(try JSON.text(Document(address: name, isDryRun: dryRun, writes: writes)))
        }
        if dryRun {
            return print(
                steps.isEmpty ? "nothing to do" : steps.map { "echo '\($0.text)' > \($0.path)" }.joined(separator: "\n"))
        }
        print(steps.isEmpty ? "\(name): nothing to do" : "\(name): \(done)")
    }
}

struct BindCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bind",
        abstract: "Bind a PCI device to vfio-pci, so that a program can drive it.",
        discussion: """
            The device leaves the kernel's driver. Refused for a device that holds a mounted file system, swap, the default route or the console. \
            A command that fails or is killed is undone by dmactl unbind. Needs root.

            EXAMPLES
              dmactl bind --dry-run 0000:01:00.0    print the writes to /sys
              dmactl bind 0000:01:00.0

            EXIT CODES
              0   bound, or it was already
              1   refused or failed; the message says what the device is bound to
              64  the command line is wrong
            """)

    @OptionGroup var arguments: BindingArguments

    func run() throws {
        let binding = VFIOBinding()
        try arguments.run(
            binding.bindPlan, binding.bind, done: "bound to vfio-pci")
    }
}

struct UnbindCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unbind",
        abstract: "Give a PCI device back to the kernel's driver.",
        discussion: """
            Also mends what an interrupted bind has left. Needs root.

            EXAMPLES
              dmactl unbind --dry-run 0000:01:00.0
              dmactl unbind 0000:01:00.0

            EXIT CODES
              0   the kernel's driver has it, or there is none for it
              1   refused or failed
              64  the command line is wrong
            """)

    @OptionGroup var arguments: BindingArguments

    func run() throws {
        let binding = VFIOBinding()
        try arguments.run(
            binding.unbindPlan, binding.unbind, done: "given back to the kernel's driver")
    }
}
