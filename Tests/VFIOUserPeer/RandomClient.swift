// SPDX-License-Identifier: Apache-2.0

import CDMA
import DMAEDUSpecification
import DMATypes
import DMAVFIOUserProtocol
import Foundation

/// A client that maps memory, gives events, starts copies of the device, and unmaps, at random, and answers what it is asked.
struct RandomClient {
    private let connection: Connection
    private var random: UInt64
    private var mapped: [UInt64: UInt64] = [:]

    init(_ path: String, seed: UInt64) throws {
        connection = Connection(OwnedDescriptor(taking: UnixSocket.connect(path)), patience: .seconds(10))
        random = seed &* 2 &+ 1
        try connection.start()
    }

    private mutating func next(_ count: UInt64) -> UInt64 {
        random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return (random >> 33) % count
    }

    mutating func run() throws {
        var capabilities = PeerCapabilities()
        capabilities.descriptors = 8
        _ = try connection.ask(.version(VersionMessage(capabilities)), until: .after(milliseconds: 10_000))
        // SAFETY: the C function reads a text that ends with a zero.
        let file = unsafe cdma_shared_memory("vfio-user-client", 1 << 20, 0)
        try configure(4, 6, 2)
        // Ends with the process, or its parent.
        let parent = getppid()
        while getppid() == parent {
            try step(file)
            while let message = connection.take(until: .now) { answer(message) }
        }
    }

    private mutating func step(_ file: Int32) throws {
        switch next(8) {
        case 0, 1:
            let address = 0x10_0000 + next(64) << 16
            guard mapped[address] == nil else { return }
            let map = DMAMapMessage(isReadable: true, isWritable: next(2) == 0, offset: 0, address: address, count: 1 << 16)
            mapped[address] = map.count
            try post(.dmaMap(map), next(3) == 0 ? [] : [file])
        case 2:
            guard let (address, count) = mapped.first else { return }
            mapped[address] = nil
            try post(.dmaUnmap(DMAUnmapMessage(address: address, count: count)), [])
        case 3:
            let event = cdma_event_make(false)
            defer { _ = cdma_close(event) }
            try post(.setInterrupts(SetInterruptsMessage(.trigger, .events, index: 1, start: 0, count: 1)), [event])
        case 4, 5, 6:
            let address = mapped.first?.key ?? 0x10_0000
            try write(0x80, next(2) == 0 ? address : EDU.buffer)
            try write(0x88, next(2) == 0 ? address : EDU.buffer)
            try write(0x90, 1 + next(4032))
            try write(0x98, 1 | next(4) << 1)
        default:
            _ = try connection.begin(.regionRead(RegionAccessMessage(region: 0, offset: 0x98, count: 8)))
        }
    }

    private func post(_ request: Request, _ descriptors: [Int32]) throws {
        _ = try connection.begin(request, descriptors: descriptors)
    }

    private func write(_ offset: UInt64, _ value: UInt64) throws {
        let data = (0..<8).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
        try post(.regionWrite(RegionAccessMessage(region: 0, offset: offset, count: 8, data: data)), [])
    }

    private func configure(_ offset: UInt64, _ value: UInt8, _ count: Int) throws {
        let data = [value] + [UInt8](repeating: 0, count: count - 1)
        try post(.regionWrite(RegionAccessMessage(region: 7, offset: offset, count: count, data: data)), [])
    }

    private func answer(_ message: Connection.Message) {
        guard
            let request = try? Request(
                command: message.header.command, payload: message.payload, descriptors: 0, transferSize: 1 << 20)
        else { return }
        switch request {
        case .dmaRead(var access):
            access.data = [UInt8](repeating: 0x5a, count: access.count)
            connection.reply(to: message, access.payload)
        case .dmaWrite(var access):
            access.data = []
            connection.reply(to: message, access.payload)
        default: connection.refuse(message, 95)
        }
    }
}
