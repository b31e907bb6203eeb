// SPDX-License-Identifier: Apache-2.0

import CDMA
import DMACore
import DMADriverKit

/// Random programs over a table of foreign memory, compared with ``ForeignModel``: each call must have the model's result, and
/// each byte the model's value.
// SAFETY: the memory outlives the value, which only `run` makes.
@safe
struct ForeignProgram {
    private let bytes: [UInt8]
    private var position = 0
    private var steps = 0
    private let memory = ForeignMemory(maximumRegions: ForeignModel.maximumRegions, maximumCount: ForeignModel.maximumCount)
    private var model: ForeignModel
    private let file: Int32
    private let own: UnsafeMutableRawBufferPointer

    private struct Failure: Error {
        let text: String
        init(_ text: String) { self.text = text }
    }

    static func run(_ bytes: [UInt8]) -> FuzzEntry.Outcome {
        let count = 4 * ForeignModel.page
        // SAFETY: the memory is freed below, when the table with the regions that refer to it has ended.
        let own = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: ForeignModel.page)
        unsafe own.initializeMemory(as: UInt8.self, repeating: 0)
        let file = unsafe cdma_shared_memory("fuzz", count, 0)
        defer {
            _ = cdma_close(file)
            unsafe own.deallocate()
        }
        guard file >= 0 else { return FuzzEntry.Outcome(failure: "no memfd: \(-file)", length: 0, steps: 0) }
        var program = unsafe ForeignProgram(bytes, file, own)
        do throws(Failure) { try program.runAll() } catch {
            return FuzzEntry.Outcome(failure: error.text, length: program.position, steps: program.steps)
        }
        return FuzzEntry.Outcome(failure: nil, length: program.position, steps: program.steps)
    }

    @unsafe
    private init(_ bytes: [UInt8], _ file: Int32, _ own: UnsafeMutableRawBufferPointer) {
        // SAFETY: the caller's memory outlives the program, as the caller guarantees.
        self.bytes = bytes
        self.file = file
        unsafe self.own = unsafe own
        let empty = [UInt8](repeating: 0, count: own.count)
        model = ForeignModel(stores: [empty, empty])
    }

    // MARK: Decoding

    private mutating func byte() -> Int {
        guard position < bytes.count else { return 0 }
        position += 1
        return Int(bytes[position - 1])
    }

    /// An address near a bound of some region, of the space, or anywhere in a small part of it.
    private mutating func address() -> UInt64 {
        let (shape, low, high) = (byte(), UInt64(byte()), UInt64(byte()))
        switch shape % 8 {
        case 0: return .max &- low
        case 1: return low &- 128
        case 2, 3, 4:
            guard !model.regions.isEmpty else { return low << 8 }
            let region = model.regions[Int(high) % model.regions.count]
            return (shape % 2 == 0 ? region.start : region.last &+ 1) &+ (shape % 8 == 4 ? 0 : (low % 24) &- 12)
        default: return (low | high << 8) << 4
        }
    }

    private mutating func count() -> UInt64 {
        let (shape, low, high) = (byte(), UInt64(byte()), UInt64(byte()))
        switch shape % 8 {
        case 0: return 0
        case 1: return .max &- low
        case 2: return 1 << (low % 64)
        case 3: return ForeignModel.maximumCount &+ low &- 2
        case 4: return UInt64(ForeignModel.page)
        default: return low | (high & 15) << 8
        }
    }

    private mutating func access() -> DeviceAccess { DeviceAccess(rawValue: UInt8([3, 3, 1, 2, 0][byte() % 5])) }

    // MARK: Steps

    private mutating func runAll() throws(Failure) {
        while position < bytes.count {
            try step()
            steps += 1
        }
        try check("the number of regions", UInt64(memory.regionCount), UInt64(model.regions.count))
        // Compares all remaining bytes, then removes everything.
        for region in model.regions where region.access.contains(.read) {
            try read(region.start, min(Int(region.last - region.start) + 1, 1 << 14))
        }
        try expect("removeAll", nil) { () throws(DMAError) in try memory.removeAll(until: .after(milliseconds: 1000)) }
        try check("bytes mapped at the end", memory.mappedCount, 0)
        // The peer's view.
        var seen = [UInt8](repeating: 0, count: model.stores[0].count)
        // SAFETY: reads into the array, which has as many bytes as the segment says.
        let got = unsafe seen.withUnsafeMutableBytes { bytes in
            var segment = cdma_segment(address: UInt64(UInt(bitPattern: bytes.baseAddress)), count: UInt64(bytes.count))
            return unsafe cdma_file_read(file, &segment, 1, 0, 0)
        }
        guard got == Int64(seen.count), seen == model.stores[0] else {
            throw Failure("the peer's file has other bytes than the model")
        }
        guard unsafe own.elementsEqual(model.stores[1]) else { throw Failure("memory has other bytes than the model") }
    }

    private mutating func step() throws(Failure) {
        switch byte() % 16 {
        case 0...3:
            let (start, count, access, offset) = (address(), count(), access(), UInt64(byte()))
            let place =
                offset % 8 == 7 ? offset << 50 | offset : offset % 8 == 6 ? offset : offset % 5 * UInt64(ForeignModel.page)
            let expected = model.insert(start, count, access, store: 0, offset: place, isFile: true)
            try expect("insert \(start) \(count) at \(place)", expected) { () throws(DMAError) in
                try memory.insert(IOVA(start), count: count, access: access, file: file, offset: place)
            }
        case 4, 5:
            let (start, access, offset, length) = (address(), access(), byte() * 16, byte() * 8)
            let expected = model.insert(start, UInt64(length), access, store: 1, offset: UInt64(offset), isFile: false)
            // SAFETY: 255 × 16 and 255 × 8 bytes lie inside four pages, which outlive the table.
            let part = unsafe UnsafeMutableRawBufferPointer(rebasing: own[offset..<offset + length])
            try expect("insert memory \(start) \(length)", expected) { () throws(DMAError) in
                unsafe try memory.insert(IOVA(start), access: access, memory: part)
            }
        case 6: try remove(address(), count())
        case 7, 8:
            guard !model.regions.isEmpty else { return }
            let region = model.regions[byte() % model.regions.count]
            try remove(region.start, region.last - region.start + 1)
        case 9:
            guard byte() % 8 == 0 else { return }
            model.regions = []
            try expect("removeAll", nil) { () throws(DMAError) in try memory.removeAll(until: .after(milliseconds: 1000)) }
        case 10: try read(address(), byte() << (byte() % 4))
        case 11, 12:
            let (start, seed) = (address(), UInt8(truncatingIfNeeded: byte()))
            let length = byte() << (byte() % 4)
            let data = (0..<length).map { seed &+ UInt8(truncatingIfNeeded: $0) }
            let expected = model.write(data, start)
            try expect("write \(start) \(length)", expected) { () throws(DMAError) in
                unsafe try memory.write(data.span.bytes, at: IOVA(start))
            }
        default:
            let (kind, start, value) = (byte(), address(), UInt64(byte()) &* 0x0101_0101_0101_0101 ^ 0x0807_0605_0403_0201)
            switch byte() % 4 {
            case 0: try word(kind, start, UInt8(truncatingIfNeeded: value))
            case 1: try word(kind, start, UInt16(truncatingIfNeeded: value))
            case 2: try word(kind, start, UInt32(truncatingIfNeeded: value))
            default: try word(kind, start, value)
            }
        }
    }

    private mutating func remove(_ start: UInt64, _ count: UInt64) throws(Failure) {
        let expected = model.remove(start, count)
        try expect("remove \(start) \(count)", expected) { () throws(DMAError) in
            try memory.remove(IOVA(start), count: count, until: .after(milliseconds: 1000))
        }
    }

    private func read(_ start: UInt64, _ count: Int) throws(Failure) {
        var data = [UInt8](repeating: 0xa5, count: count)
        switch model.read(start, count) {
        case .failure(let refusal):
            try expect("read \(start) \(count)", refusal.code) { () throws(DMAError) in try fill(&data, start) }
        case .success(let expected):
            try expect("read \(start) \(count)", nil) { () throws(DMAError) in try fill(&data, start) }
            guard data == expected else { throw Failure("read \(start) \(count): other bytes than the model") }
        }
    }

    private func fill(_ data: inout [UInt8], _ start: UInt64) throws(DMAError) {
        // SAFETY: the array's own bytes, every pattern of which is valid.
        var span = data.mutableSpan
        var raw = unsafe span.mutableBytes
        try memory.read(IOVA(start), into: &raw)
    }

    private mutating func word<T: SharedWord>(_ kind: Int, _ start: UInt64, _ value: T) throws(Failure) {
        let width = MemoryLayout<T>.size
        let old = T(truncatingIfNeeded: model.word(start, width))
        let place = IOVA(start)
        var found = old
        let name = "word \(kind % 6) of \(width) at \(start)"
        switch kind % 6 {
        case 0, 1:
            let refusal = model.refusal(word: start, width, .read)
            try expect(name, refusal) { () throws(DMAError) in
                found = kind % 6 == 0 ? try memory.load(at: place, as: T.self) : try memory.loadAcquire(at: place, as: T.self)
            }
            if refusal == nil { try check(name, UInt64(found), UInt64(old)) }
        case 2, 3:
            let refusal = model.refusal(word: start, width, .write)
            try expect(name, refusal) { () throws(DMAError) in
                if kind % 6 == 2 { try memory.store(value, at: place) } else { try memory.storeRelease(value, at: place) }
            }
            if refusal == nil { model.store(UInt64(value), start, width) }
        case 4:
            let refusal = model.refusal(word: start, width, [.read, .write], isAtomic: true)
            try expect(name, refusal) { () throws(DMAError) in found = try memory.fetchAdd(value, at: place) }
            guard refusal == nil else { return }
            try check(name, UInt64(found), UInt64(old))
            model.store(UInt64(old &+ value), start, width)
        default:
            let refusal = model.refusal(word: start, width, [.read, .write], isAtomic: true)
            let expected = kind % 2 == 0 ? old : value
            try expect(name, refusal) { () throws(DMAError) in
                found = try memory.compareExchange(at: place, expected: expected, desired: value)
            }
            guard refusal == nil else { return }
            try check(name, UInt64(found), UInt64(old))
            if expected == old { model.store(UInt64(value), start, width) }
        }
    }

    private func expect(_ what: String, _ code: DMAError.Code?, _ body: () throws(DMAError) -> Void) throws(Failure) {
        var found: DMAError.Code?
        do throws(DMAError) { try body() } catch { found = error.code }
        guard found == code else {
            throw Failure("\(what): \(found.map { "\($0)" } ?? "done"), where the model says \(code.map { "\($0)" } ?? "done")")
        }
    }

    private func check(_ what: String, _ found: UInt64, _ expected: UInt64) throws(Failure) {
        guard found == expected else { throw Failure("\(what): \(found), where the model says \(expected)") }
    }
}
