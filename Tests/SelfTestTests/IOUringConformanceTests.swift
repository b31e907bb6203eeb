// SPDX-License-Identifier: Apache-2.0

import DMAConformance
import DMACore
import DMAIOUringEngine
import DMASelfTest
import DMATestSupport
import Foundation
import Testing

/// The conformance suite on the io_uring engine: with each carrier, on each kind of file system.
@Suite("The contract on io_uring", .serialized)
struct IOUringConformanceTests {
    func run(
        _ configuration: IOUringConfiguration, in directory: String, _ cache: PeripheralFile.Cache, _ name: String
    ) async throws {
        let storage = try FileStorage(in: directory)
        let registrar = IOUringRegistrar()
        var configuration = configuration
        configuration.registrar = registrar
        let complete = configuration
        let domain = try Domain(name: name, translation: .announced(registrar))
        await RealEngineTests.expectConformance(least: 25) { checks in
            await RealEngineTests.suite(8, 32_768, domain, only: checks).run(
                name, makeEngine: { () throws(DMAError) in try IOUringProvisions.engine(complete, storage, cache) },
                provisions: IOUringProvisions.provisions(storage))
        }
    }

    @Test("in memory and on the disk, on the ring and on threads", arguments: [IOUringConfiguration.Path.ring, .threads])
    func paths(_ path: IOUringConfiguration.Path) async throws {
        var configuration = IOUringConfiguration(depth: 32, path: path)
        try await run(configuration, in: "/dev/shm", .asOpened, "\(path), tmpfs")
        configuration.buffers = .always
        try await run(configuration, in: FileManager.default.temporaryDirectory.path, .direct, "\(path), disk, direct")
    }

    @Test("with a submission thread of the kernel")
    func submissionThread() async throws {
        var configuration = IOUringConfiguration(depth: 32, path: .ring)
        configuration.submissionThread = true
        try await run(configuration, in: "/dev/shm", .asOpened, "submission thread")
    }

    @Test(
        "on ext4 of a disk made of a file, buffered and direct",
        .enabled(if: Machine.hasLoops, Comment(rawValue: Machine.withoutLoops)),
        arguments: [IOUringConfiguration.Path.ring, .threads])
    func ext4(_ path: IOUringConfiguration.Path) async throws {
        let disk = try LoopDisk(count: 256 << 20, fileSystem: "ext4")
        defer { disk.end() }
        let configuration = IOUringConfiguration(depth: 32, path: path)
        try await run(configuration, in: disk.directory, .buffered, "\(path), ext4")
        try await run(configuration, in: disk.directory, .direct, "\(path), ext4, direct")
    }
}
