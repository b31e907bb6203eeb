// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMADeviceSide
internal import DMAEngineKit
internal import DMAThreads
internal import DMATypes

/// The thread in which the time of a served model passes, for as long as one client is there.
final class Stepper: Sendable {
    private let line = InterruptLine()
    private let isStopping = Locked(false)
    /// Held during a step.
    private let gate = Locked(())
    private let model: any DeviceModel
    private let thread = Locked<NativeThread?>(nil)

    init(_ model: any DeviceModel) { self.model = model }

    func start() throws(DMAError) {
        let made = try NativeThread { self.run() }
        thread.withLock { $0 = made }
    }

    private func run() {
        while !isStopping.withLock({ $0 }) {
            let seen = line.count
            let isBusy = gate.withLock { _ in model.step() }
            if isBusy {
                cdma_sleep_until(cdma_monotonic_nanoseconds() + 50_000)
            } else {
                _ = line.wait(after: seen, until: .after(milliseconds: 20))
            }
        }
    }

    /// There may be something to do.
    func wake() { line.raise() }

    /// Runs `body` while no step is under way.
    func exclusively(_ body: () -> Void) { gate.withLock { _ in body() } }

    /// Ends the thread, and waits for that.
    func stop() {
        isStopping.withLock { $0 = true }
        line.raise()
        let made = thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        made?.join()
    }
}
