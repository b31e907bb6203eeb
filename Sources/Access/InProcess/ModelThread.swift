// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMADeviceSide
internal import DMAEngineKit
internal import DMAThreads
internal import DMATypes

/// The thread in which a model's time passes, and in which its interrupts are handed over.
final class ModelThread: Sendable {
    private let line: InterruptLine
    private let isStopping: StopFlag
    private let thread: NativeThread

    /// - Parameter deliver: hands over what has arrived; with true, calls the driver as well where nothing has.
    init(_ model: any DeviceModel, _ deliver: @escaping @Sendable (Bool) -> Void) throws(DMAError) {
        let line = InterruptLine()
        let isStopping = StopFlag()
        self.line = line
        self.isStopping = isStopping
        thread = try NativeThread {
            while !isStopping.isSet {
                let seen = line.count
                let isBusy = model.step()
                deliver(false)
                if isBusy {
                    NativeSleep.until(.after(nanoseconds: 50_000))
                } else if !line.wait(after: seen, until: .after(milliseconds: 2)) {
                    deliver(true)
                }
            }
        }
    }

    func wake() { line.raise() }

    /// Ends it, and waits for that unless the thread itself asks.
    func stop() {
        isStopping.set()
        line.raise()
        if !thread.isCurrent { thread.join() }
    }
}

/// Set once, by any thread.
final class StopFlag: Sendable {
    private let flag = Locked(false)
    var isSet: Bool { flag.withLock { $0 } }
    func set() { flag.withLock { $0 = true } }
}

enum NativeSleep {
    static func until(_ deadline: Deadline) { cdma_sleep_until(deadline.nanoseconds) }
}
