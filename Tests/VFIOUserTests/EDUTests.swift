// SPDX-License-Identifier: Apache-2.0

import DMAAccess
import DMAConformance
import DMACore
import DMADeviceSide
import DMAEDUEngine
import DMAEDUModel
import DMAEDURig
import DMATestSupport
import DMAVFIOUserAccess
import DMAVFIOUserServer
import Foundation
import Testing

extension VFIOUserTests {
    /// The driver over vfio-user: with the model served by a thread of this process, and by another process.
    @Suite("vfio-user: the driver of EDU")
    struct EDUTests {
        private static let sizes = [1, 2, 3, 7, 8, 63, 64, 100, 4031, 4032, 4033, 10_000, 65_536]

        /// A model behind a server of this process.
        private struct Served {
            let model: EDUModel
            let server: VFIOUserServer
            private let scratch: Scratch

            init(_ model: EDUModel = EDUModel()) throws {
                self.model = model
                scratch = try Scratch()
                server = try VFIOUserServer(model, path: scratch.at("socket"))
            }

            func device(_ memory: VFIOUserConfiguration.Memory = .shared) throws -> VFIOUserDevice {
                var configuration = VFIOUserConfiguration()
                configuration.memory = memory
                configuration.patience = .seconds(60)
                return try VFIOUserDevice(path: server.path, configuration)
            }
        }

        /// A server in another process.
        private struct Other {
            let process: Command.Running
            let path: String
            private let scratch: Scratch

            init() throws {
                scratch = try Scratch()
                path = scratch.at("socket")
                process = try Command.start([Program.built("vfio-user-peer"), "serve", path])
            }

            /// A device, as soon as the server listens.
            func device(_ memory: VFIOUserConfiguration.Memory = .shared) throws -> VFIOUserDevice {
                var configuration = VFIOUserConfiguration()
                configuration.memory = memory
                configuration.patience = .seconds(60)
                let limit = Deadline.after(milliseconds: 60_000)
                while true {
                    do throws(AccessError) { return try VFIOUserDevice(path: path, configuration) } catch {
                        guard error.code == .absent, Deadline.now < limit else { throw error }
                        usleep(5000)
                    }
                }
            }
        }

        private var configuration: EDUConfiguration {
            var configuration = EDUConfiguration()
            // On a machine that others use.
            configuration.patience = .seconds(20)
            configuration.restartLimit = .seconds(20)
            return configuration
        }

        @Test(
            "copies of many sizes, byte for byte: with shared memory and by messages, by each kind of interrupt and by polling",
            arguments: [VFIOUserConfiguration.Memory.shared, .messages], 0..<3)
        func copies(_ memory: VFIOUserConfiguration.Memory, _ number: Int) async throws {
            let served = try Served()
            let kinds: [InterruptKind] = [[.msi], [.intx], []][number]
            var configuration = configuration
            configuration.interrupts = kinds
            let engine = try EDUEngine(opening: served.device(memory), configuration)
            let domain = engine.domain
            #expect((engine.interruptLine == nil) == kinds.isEmpty)
            var channel = try EDUChannel(engine, domain: domain)
            var random = Seeded("vfio-user")
            for size in Self.sizes {
                let copied = try await channel.copy(size, &random, for: domain)
                #expect(copied.isRight && !copied.wasBounced, "\(size) bytes: \(String(describing: copied.error))")
            }
            let pieces = UInt64(Self.sizes.reduce(0) { $0 + ($1 + 4031) / 4032 })
            #expect(served.model.transfers == 2 * pieces)
            let figures = channel.withEngine { $0.figures }
            func figure(_ name: String) -> UInt64 { figures.first { $0.name == name }?.value ?? .max }
            #expect(figure("failures") == 0 && figure("restarts") == 0)
            #expect(figure("interrupts") > 0 || kinds.isEmpty)
            #expect(served.server.function.violations == [] && served.server.function.refusedTransfers == 0)
            #expect(channel.faults.total == 0)
        }

        @Test("memory that was not asked for: bounced where it is shared, and not by messages")
        func foreign() async throws {
            for (memory, bounces) in [(VFIOUserConfiguration.Memory.shared, true), (.messages, false)] {
                let served = try Served()
                let engine = try EDUEngine(opening: served.device(memory), configuration)
                let domain = engine.domain
                var channel = try EDUChannel(engine, domain: domain)
                var random = Seeded("foreign")
                let copied = try await channel.copy(5000, &random, for: domain, foreign: true)
                #expect(copied.isRight && copied.wasBounced == bounces)
            }
        }

        @Test("a server in another process", arguments: [VFIOUserConfiguration.Memory.shared, .messages])
        func otherProcess(_ memory: VFIOUserConfiguration.Memory) async throws {
            let other = try Other()
            var random = Seeded("other process")
            // One client after the other.
            for round in 0..<3 {
                let device = try other.device(memory)
                let engine = try EDUEngine(opening: device, configuration)
                let domain = engine.domain
                var channel = try EDUChannel(engine, domain: domain)
                for size in [1, 4033, 20_000] {
                    let copied = try await channel.copy(size, &random, for: domain)
                    #expect(copied.isRight, "round \(round), \(size) bytes: \(String(describing: copied.error))")
                }
                #expect(device.goneReason == nil && !device.isDead)
            }
        }

        @Test("the server killed in the middle: the wait ends, the device is dead, and the bytes are the client's again")
        func killed() async throws {
            var random = Seeded("killed")
            for round in 0..<12 {
                let memory: VFIOUserConfiguration.Memory = round % 2 == 0 ? .shared : .messages
                let other = try Other()
                let device = try other.device(memory)
                let engine = try EDUEngine(opening: device, configuration)
                let domain = engine.domain
                var channel = try EDUChannel(engine, domain: domain)
                let pause = UInt32(random.next() % 30_000)
                let victim = other.process.identifier
                let killer = Task.detached {
                    usleep(pause)
                    kill(victim, SIGKILL)
                }
                let began = Deadline.now
                var ended: DMAError?
                for _ in 0..<10_000 where ended == nil {
                    do {
                        let copied = try await channel.copy(100_000, &random, for: domain)
                        ended = copied.error
                        if copied.error == nil { #expect(copied.isRight) } else { #expect(copied.source == copied.image) }
                    } catch let error as DMAError {
                        // Between two copies, the next one's memory cannot be mapped.
                        #expect(error.code == .backendFailed && device.goneReason != nil)
                        ended = DMAError(.deviceGone)
                    }
                }
                await killer.value
                #expect(ended?.code == .deviceGone, "\(String(describing: ended))")
                #expect(began.nanoseconds + 60_000_000_000 > Deadline.now.nanoseconds)
                #expect(device.goneReason != nil)
                #expect(Own.waits { device.isDead })
            }
            #expect(Quarantine.entries.isEmpty)
        }

        private func waits(_ condition: () -> Bool) -> Bool {
            for _ in 0..<2000 {
                if condition() { return true }
                usleep(10_000)
            }
            return condition()
        }

        @Test(
            "a device that does wrong: an error or a right copy, and a channel that works afterwards",
            arguments: EDUFault.allCases.filter { $0 != .unplugged })
        func faults(_ fault: EDUFault) async throws {
            let served = try Served()
            var configuration = configuration
            configuration.patience = .seconds(2)
            let engine = try EDUEngine(opening: served.device(), configuration)
            let domain = engine.domain
            var channel = try EDUChannel(engine, domain: domain)
            var random = Seeded("faults")
            served.model.set(fault, after: 1)
            let copied = try await channel.copy(6000, &random, for: domain, limit: 40_000)
            #expect(copied.source == copied.image)
            switch fault {
            case .lateInterrupt, .lostInterrupt, .duplicateInterrupt: #expect(copied.isRight)
            case .wrongStatus: #expect(copied.failure == .badStatus)
            case .stuck: #expect(copied.failure == .timeout)
            case .wildAddress: #expect(copied.failure == .aborted)
            case .allOnes, .allOnesForAWhile: #expect(copied.failure == .noAnswer)
            case .oneByteShort, .earlyStatus: #expect(copied.error == nil)
            case .unplugged: #expect(copied.error?.code == .deviceGone)
            }
            guard fault != .unplugged else { return }
            served.model.set(nil)
            let next = try await channel.copy(9000, &random, for: domain)
            #expect(next.isRight, "after \(fault): \(String(describing: next.error))")
            #expect(served.server.function.violations == [])
        }

        @Test("every rule of the contract that applies", arguments: [VFIOUserConfiguration.Memory.shared, .messages])
        func contract(_ memory: VFIOUserConfiguration.Memory) async throws {
            let served = try Served()
            let device = try served.device(memory)
            let configuration = configuration
            let domain = Domain(name: "edu", constraints: configuration.constraints, space: device.space)
            let suite = ConformanceSuite(
                seed: Seeded.seed, iterations: 2, maximumBytes: 12_000, domain: domain, duration: 300_000_000_000,
                patience: 60_000_000_000)
            let report = await suite.run(
                "edu",
                makeEngine: { () throws(DMAError) in
                    do throws(AccessError) { return try EDUEngine(opening: device, configuration) } catch {
                        throw DMAError(error.code == .busy ? .deviceBusy : .engineFailed)
                    }
                })
            #expect(report.counts.failed == 0 && report.counts.notProved == 0, "\(report.table)")
            #expect(report.counts.passed >= 25 && report.counts.notRun == 0, "\(report.table)")
            #expect(served.server.function.violations == [])
        }
    }
}
