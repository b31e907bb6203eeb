// SPDX-License-Identifier: Apache-2.0

import DMAAccess
import DMAVFIOAccess

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Gives a device to vfio-pci.
func bind(_ address: String) throws -> String {
    let binding = VFIOBinding()
    let plan = try binding.bindPlan(address)
    guard !plan.isEmpty else { throw Failure("it is bound already") }
    try binding.bind(address)
    guard try binding.bindPlan(address).isEmpty else { throw Failure("after it, there is something left to bind") }
    return "\(plan.count) writes: \(plan.map { "\($0.text) > \($0.path)" }.joined(separator: ", "))"
}

/// Gives it back: no driver of the kernel's is for it.
func unbind(_ address: String) throws -> String {
    let binding = VFIOBinding()
    try binding.unbind(address)
    let left = try binding.unbindPlan(address)
    // Without a driver that is for it, asking the kernel to probe is always left.
    guard left.map(\.path) == ["/sys/bus/pci/drivers_probe"] else { throw Failure("left to do: \(left)") }
    do throws(AccessError) { _ = try VFIODevice(address) } catch {
        guard error.cure.contains("driver_override") else { throw error }
        return "no driver has it"
    }
    throw Failure("it still opens")
}

/// A bind that ends after so many writes, as by a kill; then an unbind and a whole bind.
func bindKilled(_ address: String, at text: String) throws -> String {
    guard let count = Int(text) else { throw Failure("\(text) is no number") }
    let binding = VFIOBinding()
    let plan = try binding.bindPlan(address)
    for step in plan.prefix(count) {
        // SAFETY: open(2) and write(2) read what they are given.
        let file = unsafe open(step.path, O_WRONLY)
        let bytes = Array(step.text.utf8)
        let written = unsafe bytes.withUnsafeBytes { unsafe write(file, $0.baseAddress, $0.count) }
        close(file)
        guard written == bytes.count else { throw Failure("cannot write \(step)") }
    }
    let mended = try unbind(address)
    _ = try bind(address)
    _ = try unbind(address)
    return "after \(count) of \(plan.count) writes: \(mended)"
}

/// An unbind of a device that another process has open names it, and does nothing.
func unbindHeld(_ address: String, by process: String) throws -> String {
    do throws(AccessError) { try VFIOBinding().unbind(address) } catch {
        guard error.code == .busy, error.detail.contains("process \(process) ") else { throw error }
        return "\(error)"
    }
    throw Failure("it was unbound")
}
