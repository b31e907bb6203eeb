// SPDX-License-Identifier: Apache-2.0

internal import DMA
internal import DMAConformance
internal import DMACore
internal import DMAIOUringEngine
internal import Glibc

extension IOUringProvider: SelfTestedProvider {
    /// The contract and the measurements, on a file in the directory for temporary files. Transfers go through the page cache:
    /// they measure the engine, not the disk.
    func run(
        _ test: SelfTest, _ name: String, _ report: inout SelfTest.Report, _ progress: ((SelfTest.Step) -> Void)?
    ) async throws(DMAError) {
        // SAFETY: the string of getenv is copied at once; no code in this process changes the environment.
        let directory = unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? "/tmp"
        // Space for all transfers in flight, several times.
        let needed = max(64 << 20, (test.bytes + 65_536) * test.depth * 4)
        let storage: FileStorage
        do throws(DMAError) {
            storage = try FileStorage(in: directory, count: needed)
        } catch {
            return report.stops.append(
                SelfTest.Report.Stop(engine: name, reason: refusal(directory, needed, error), isUntried: true))
        }
        let registrar = IOUringRegistrar()
        var configuration = configuration
        configuration.registrar = registrar
        let complete = configuration
        let domain = try Domain(name: name, translation: .announced(registrar))
        let make: @Sendable () throws(DMAError) -> IOUringEngine = { () throws(DMAError) in
            try IOUringProvisions.engine(complete, storage)
        }
        let provisions = IOUringProvisions.provisions(storage)
        if test.choice.verifies {
            report.contracts.append(
                await test.suite(domain).run(
                    name, makeEngine: make, provisions: provisions,
                    announce: { progress?(.starting(engine: name, $0)) },
                    progress: { progress?(.contract(engine: name, $0)) }))
        }
        let speeds = await test.survey(domain).run(
            name, kinds: test.operations, makeEngine: make, provisions: provisions
        ) { progress?(.speed($0)) }
        guard let failure = storage.failure else {
            report.speeds += speeds
            return
        }
        // The compared data is not what the test wrote: no finding about the engine.
        let reason = "\(failure). Cure: set TMPDIR to a directory on a sound disk"
        report.stops.append(SelfTest.Report.Stop(engine: name, reason: reason, isUntried: true))
    }

    /// The error that explains why the test could not create its file.
    private func refusal(_ directory: String, _ needed: Int, _ error: DMAError) -> String {
        let room = "\(needed >> 20) MiB are needed"
        if error.code == .outOfMemory {
            let budget = MemoryBudget.current.sentence { "\($0 >> 20) MiB" }
            return "no room in \(directory), which is in memory: \(room), \(budget). Cure: set TMPDIR to a directory on a disk"
        }
        guard [ENOSPC, EDQUOT, EFBIG].contains(error.errno) else {
            let why = error.kernelText ?? error.reason
            return "no file in \(directory): \(why). Cure: set TMPDIR to a directory that can be written"
        }
        let free = FileStorage.free(in: directory).map { ", \($0 >> 20) MiB are free" } ?? ""
        return "no room in \(directory): \(room)\(free). Cure: make room there, or set TMPDIR to another directory"
    }
}
