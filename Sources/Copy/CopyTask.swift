// SPDX-License-Identifier: Apache-2.0

internal import DMACore
internal import DMAThreads

extension Copier {
    /// Copies as a task: on a thread of its own, so that none of those which run tasks waits for a disk. Cancelling the task stops the copy,
    /// which then throws `cancelled`.
    ///
    /// - Parameters:
    ///   - source: where bytes come from.
    ///   - target: where they go.
    ///   - options: what is wanted.
    ///   - plan: how, where it was made before; nil makes one.
    ///   - progress: as ``CopyControl/init(progress:)`` has it.
    /// - Throws: ``CopyFailure``. Unless the target is a device or a stream, or is overwritten in place, it is then what it was.
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
