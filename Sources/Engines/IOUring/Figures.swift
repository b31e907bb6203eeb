// SPDX-License-Identifier: Apache-2.0

public import DMACore
internal import DMAEngineKit

extension IOUringEngine {
    /// The counters of ``statistics`` by name, without those that are 0.
    public var figures: [EngineFigure] {
        let counts = statistics
        let all = [
            EngineFigure("directBytes", counts.directBytes), EngineFigure("bufferedBytes", counts.bufferedBytes),
            EngineFigure("registeredBuffers", counts.registeredBuffers), EngineFigure("refusedBuffers", counts.refusedBuffers),
            EngineFigure("fixedRequests", counts.fixedRequests), EngineFigure("directRefusals", counts.directRefusals),
            EngineFigure("misalignedTransactions", counts.misalignedTransactions),
            EngineFigure("continuations", counts.continuations), EngineFigure("retries", counts.retries),
        ]
        return all.filter { $0.value > 0 }
    }
}
