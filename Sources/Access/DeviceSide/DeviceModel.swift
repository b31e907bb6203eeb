// SPDX-License-Identifier: Apache-2.0

/// What a chip does: a model that a driver reaches by any way that serves it.
///
/// A model keeps its state behind a lock of its own and may call its ``DeviceFunction`` at any time. It must not trap, whatever a driver writes: what a
/// driver must not do is reported by ``DeviceFunction/report(_:)``, and answered as the chip does.
///
/// A transfer may have to wait until the client answers, and the client may have to access a register before it does: the lock that ``read(_:_:_:)``
/// and ``write(_:_:_:_:)`` take is not held while the model calls ``DeviceFunction/read(_:into:)`` or ``DeviceFunction/write(_:at:)``.
///
/// Thread rules: called from any thread.
public protocol DeviceModel: AnyObject, Sendable {
    /// What it is on its bus. Constant.
    var description: FunctionDescription { get }

    /// Takes the function by which it reaches memory and raises interrupts. Called once, before everything else.
    func attach(_ function: DeviceFunction)

    /// A read of 1, 2, 4 or 8 bytes at a multiple of that, inside the region. All ones for what the chip does not decode.
    func read(_ region: Int, _ offset: UInt64, _ width: Int) -> UInt64

    /// A write, likewise; lost where the chip does not decode it.
    func write(_ value: UInt64, _ region: Int, _ offset: UInt64, _ width: Int)

    /// Brings everything to the state after power-up. When it returns, no transfer is under way.
    func reset()

    /// Goes on with what is under way, by one step: whether anything still is.
    func step() -> Bool
}
