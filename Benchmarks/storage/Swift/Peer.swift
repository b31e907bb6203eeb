// SPDX-License-Identifier: Apache-2.0

import Foundation

/// fio with the same workload: https://fio.readthedocs.io.
struct Peer {
    let program: String
    let version: String

    /// Nil where it is not installed.
    init?() {
        guard let version = Self.run(["fio", "--version"]) else { return nil }
        program = "fio"
        self.version = version.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    func arguments(_ path: String, _ bytes: UInt64, _ workload: Workload, seconds: Int) -> [String] {
        [
            program, "--name=peer", "--filename=\(path)", "--size=\(bytes)", "--rw=\(workload.isRandom ? "randread" : "read")",
            "--bs=\(workload.block)", "--iodepth=\(workload.depth)", "--ioengine=io_uring", "--direct=1", "--fixedbufs=1",
            "--registerfiles=1", "--thread", "--time_based", "--runtime=\(seconds)", "--norandommap", "--randrepeat=0",
            "--output-format=json",
        ]
    }

    func read(_ path: String, _ bytes: UInt64, _ workload: Workload, seconds: Int) -> Rates? {
        guard let output = Self.run(arguments(path, bytes, workload, seconds: seconds)),
            let start = output.firstIndex(of: "{"),
            let parsed = try? JSONSerialization.jsonObject(with: Data(output[start...].utf8)),
            let job = ((parsed as? [String: Any])?["jobs"] as? [[String: Any]])?.first,
            let read = job["read"] as? [String: Any], let rate = read["bw_bytes"] as? Double,
            let reads = read["iops"] as? Double,
            let user = job["usr_cpu"] as? Double, let system = job["sys_cpu"] as? Double
        else { return nil }
        return Rates(bytesPerSecond: rate, readsPerSecond: reads, processor: (user + system) / 100)
    }

    private static func run(_ arguments: [String]) -> String? {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = arguments
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return nil }
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return process.terminationStatus == 0 ? String(decoding: data, as: UTF8.self) : nil
    }
}
