// SPDX-License-Identifier: Apache-2.0

import DMA
import DMACore
import DMAEngineKit
import Synchronization

@testable import DMACopy

/// What a faulty engine does wrong.
enum Fault: Sendable {
    /// Reads that touch this place of a file fail with this error number.
    case read(at: UInt64, errno: Int32)
    /// Writes that touch this place.
    case write(at: UInt64, errno: Int32)
    /// The byte of this place is another on the medium, and nothing is said.
    case damages(at: UInt64)
    /// From this place on nothing is ever finished.
    case hangs(at: UInt64)
    case none
}

/// The io_uring engine, with a fault: what a failing disk would be, on a kernel without a device mapper.
struct FaultyEngine: ~Copyable, Engine {
    var addressing: EngineAddressing { base.addressing }
    var isGone: Bool { base.isGone }
    mutating func willBeParked() { base.willBeParked() }
    private var base: AnyEngine
    private let fault: Fault
    private var queued: [Completion] = []
    private var failed: [Completion] = []
    private var hangs = 0

    init(_ base: consuming AnyEngine, _ fault: Fault) {
        self.base = base
        self.fault = fault
    }

    var capabilities: Capabilities {
        var capabilities = base.capabilities
        capabilities.completesInOrder = false
        capabilities.name = "faulty"
        return capabilities
    }
    var interruptLine: InterruptLine? { base.interruptLine }
    var figures: [EngineFigure] { base.figures }

    @unsafe mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        guard descriptor.kind == .peripheral, let position = descriptor.place.position else {
            return unsafe base.enqueue(descriptor, tag: tag)
        }
        let range = position..<(position + descriptor.count)
        let isRead = descriptor.destinationCount > 0
        switch fault {
        case .read(let place, let errno) where isRead && range.contains(place):
            queued.append(Completion(tag: tag, status: .readFailed, residue: descriptor.count, value: UInt64(errno)))
            return .accepted
        case .write(let place, let errno) where !isRead && range.contains(place):
            queued.append(Completion(tag: tag, status: .writeFailed, residue: descriptor.count, value: UInt64(errno)))
            return .accepted
        case .damages(let place) where !isRead && range.contains(place):
            // The block is the transfer's until its completion is taken, and as long as the transfer.
            let address = UInt(descriptor.sourceSegment(0).address) + UInt(place - position)
            if let byte = unsafe UnsafeMutablePointer<UInt8>(bitPattern: address) { unsafe byte.pointee ^= 1 }
            return unsafe base.enqueue(descriptor, tag: tag)
        case .hangs(let place) where range.contains(place):
            hangs += 1
            return .accepted
        default: return unsafe base.enqueue(descriptor, tag: tag)
        }
    }

    mutating func issuePending() {
        failed += queued
        queued = []
        base.issuePending()
    }
    mutating func next() -> Completion? { failed.popLast() ?? base.next() }
    mutating func terminate() { base.terminate() }
    mutating func quiesce(by deadline: Deadline) -> Bool { base.quiesce(by: deadline) }
    mutating func checkCommand(_ descriptor: Descriptor) throws(DMAError) { try base.checkCommand(descriptor) }
    mutating func attach(_ file: PeripheralFile) throws(DMAError) -> UInt32 { try base.attach(file) }
    mutating func detach(_ number: UInt32) throws(DMAError) { try base.detach(number) }
    mutating func wait(until deadline: Deadline) -> Bool { failed.isEmpty ? base.wait(until: deadline) : true }
}

/// Offers one faulty engine, and no other.
struct FaultyProvider: EngineProvider {
    let base: any EngineProvider
    let fault: Fault

    init(_ fault: Fault) {
        base = IOUringProvider()
        self.fault = fault
    }

    func probe() -> [EngineOffer] {
        base.probe().map { offer in
            var offer = offer
            offer.name = "faulty"
            offer.capabilities.completesInOrder = false
            return offer
        }
    }

    func open(_ offer: EngineOffer) throws(DMAError) -> EngineDevice {
        guard let real = base.probe().first else { throw DMAError(.noSuchChannel) }
        let device = try base.open(real)
        let fault = fault
        return EngineDevice(offer) { channel throws(DMAError) in
            AnyEngine(FaultyEngine(try device.open(channel: channel), fault))
        }
    }
}
