// SPDX-License-Identifier: Apache-2.0

internal import DMAAccess
internal import DMADeviceSide
internal import DMATypes

/// The registers of a region of a model.
final class ModelPath: RegisterPath {
    private struct Posted {
        let value: UInt64
        let offset: UInt64
        let width: Int
    }

    let region: FunctionDescription.Region
    private let model: any DeviceModel
    private let function: DeviceFunction
    private let pace: InProcessDevice.Pace
    private let recorder: Recorder?
    /// Writes that the model has not seen, oldest first.
    private let posted = Locked<[Posted]>([])
    private static let most = 64

    init(
        _ model: any DeviceModel, _ function: DeviceFunction, _ region: FunctionDescription.Region,
        _ pace: InProcessDevice.Pace, _ recorder: Recorder?
    ) {
        self.model = model
        self.function = function
        self.region = region
        self.pace = pace
        self.recorder = recorder
    }

    func read(_ offset: UInt64, _ width: AccessWidth) -> UInt64 {
        flushPosted()
        let answers = function.decodesMemory && !function.answersAllOnes()
        let value = answers ? model.read(region.index, offset, width.rawValue) & width.allOnes : width.allOnes
        recorder?.add(.read(region.index, offset, width.rawValue, value))
        if pace == .stepped { _ = model.step() }
        return value
    }

    func write(_ value: UInt64, _ offset: UInt64, _ width: AccessWidth, isDoorbell: Bool) {
        let value = value & width.allOnes
        recorder?.add(
            isDoorbell
                ? .doorbell(region.index, offset, width.rawValue, value)
                : .write(region.index, offset, width.rawValue, value))
        let isFull = posted.withLock { posted in
            posted.append(Posted(value: value, offset: offset, width: width.rawValue))
            return posted.count >= Self.most
        }
        if isDoorbell || isFull { flushPosted() }
        if pace == .stepped { _ = model.step() }
    }

    func flush() {
        recorder?.add(.flush)
        flushPosted()
    }

    func didOrder() { recorder?.add(.barrier) }
    func didRefuse(_ offset: UInt64, _ width: AccessWidth) { recorder?.add(.refused(region.index, offset, width.rawValue)) }

    /// Hands over what is posted.
    func flushPosted() {
        let writes = posted.withLock { posted in
            defer { posted = [] }
            return posted
        }
        for write in writes where function.decodesMemory && !function.isRemoved {
            model.write(write.value, region.index, write.offset, write.width)
        }
    }

    /// A reset drops what is posted.
    func drop() { posted.withLock { $0 = [] } }
}
