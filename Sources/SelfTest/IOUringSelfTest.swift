// SPDX-License-Identifier: Apache-2.0

internal import DMA
internal import DMAConformance
internal import DMACore
internal import DMAIOUringEngine
internal import Glibc

extension IOUringProvider: SelfTestedProvider {
    /// The contract and the speeds, on a file in the directory for temporary ones. What is measured goes through the page
    /// cache: it says what the engine costs, not what the disk does.
    func run(
        _ test: SelfTest, _ name: String, _ report: inout SelfTest.Report, _ progress: ((SelfTest.Step) -> Void)?
    ) async throws(DMAError) {
        // SAFETY: the string of getenv is copied at once; nobody in this process changes the environment.
        let directory = unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? "/tmp"
        let storage: FileStorage
        do throws(DMAError) {
            // Room for all that is under way at once, several times.
            storage = try FileStorage(in: directory, count: max(64 << 20, (test.bytes + 65_536) * test.depth * 4))
        } catch {
            let why = error.kernelText ?? error.ability
            let reason = "no file in \(directory): \(why). Cure: set TMPDIR to a directory that can be written"
            return report.stops.append(SelfTest.Report.Stop(engine: name, reason: reason))
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
        report.speeds += await test.survey(domain).run(
            name, kinds: test.operations, makeEngine: make, provisions: provisions
        ) { progress?(.speed($0)) }
    }
}
