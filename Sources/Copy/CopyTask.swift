// SPDX-License-Identifier: Apache-2.0

internal import DMACore
internal import DMAThreads

extension Copier {
    /// Copies from a task, on a thread of its own, so that no thread of the concurrency runtime waits for a disk. Cancelling the task cancels
    /// the copy, which then throws `cancelled`.
    ///
    /// - Parameters:
    ///   - source: where the data comes from.
    ///   - target: where it goes.
    ///   - options: what is requested.
    ///   - plan: a plan that was made before; nil makes one.
    ///   - progress: called as ``CopyControl/init(progress:)`` describes.
    /// - Throws: ``CopyFailure``. The target is then unchanged, unless it is a device or a stream, or is overwritten in place.
    public func copy(
        from source: Endpoint, to target: Endpoint, _ options: CopyOptions = CopyOptions(), plan: CopyPlan? = nil,
        progress: (@Sendable (CopyProgress) -> Void)? = nil
    ) async throws(CopyFailure) -> CopyReport {
        let control = CopyControl(progress: progress)
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Result<CopyReport, CopyFailure>, Never>) in
                do throws(DMAError) {
                    _ = try NativeThread {
                        continuation.resume(
                            returning: Result { () throws(CopyFailure) in
                                try copy(from: source, to: target, options, plan: plan, control: control)
                            })
                    }
                } catch {
                    continuation.resume(returning: .failure(.engine("a thread", error, to: "start")))
                }
            }
        } onCancel: {
            control.cancel()
        }
        return try result.get()
    }
}
