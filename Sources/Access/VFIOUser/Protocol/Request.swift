// SPDX-License-Identifier: Apache-2.0

/// A request of either side, as its command and payload say.
package enum Request: Equatable, Sendable {
    case version(VersionMessage)
    case dmaMap(DMAMapMessage)
    case dmaUnmap(DMAUnmapMessage)
    case deviceInfo(QueryMessage)
    case regionInfo(QueryMessage)
    case regionIODescriptors(QueryMessage)
    case interruptInfo(QueryMessage)
    case setInterrupts(SetInterruptsMessage)
    case regionRead(RegionAccessMessage)
    case regionWrite(RegionAccessMessage)
    case dmaRead(DMAAccessMessage)
    case dmaWrite(DMAAccessMessage)
    case reset
    case regionWriteMultiple(RegionWritesMessage)

    /// Reads a request. Nothing is believed: every length and every field is checked.
    ///
    /// - Parameters:
    ///   - descriptors: how many came with it.
    ///   - transferSize: the most data of one message that was negotiated.
    /// - Throws: `invalid`, `tooLarge`; `unsupported` for commands that the protocol does not have, and for those of migration and dirty pages, which
    ///   this package does not.
    package init(command number: UInt16, payload: [UInt8], descriptors: Int, transferSize: Int) throws(WireError) {
        guard let command = MessageCommand(rawValue: number) else { throw .unsupported }
        var reader = PayloadReader(payload)
        switch command {
        case .version: self = .version(try VersionMessage(payload: payload))
        case .dmaMap: self = .dmaMap(try DMAMapMessage(&reader))
        case .dmaUnmap: self = .dmaUnmap(try DMAUnmapMessage(&reader))
        case .deviceInfo: self = .deviceInfo(try QueryMessage(&reader, fixed: 16, hasIndex: false))
        case .regionInfo: self = .regionInfo(try QueryMessage(&reader, fixed: 32, hasIndex: true))
        case .regionIODescriptors: self = .regionIODescriptors(try QueryMessage(&reader, fixed: 16, hasIndex: true))
        case .interruptInfo: self = .interruptInfo(try QueryMessage(&reader, fixed: 16, hasIndex: true))
        case .setInterrupts: self = .setInterrupts(try SetInterruptsMessage(&reader, descriptors: descriptors))
        case .regionRead: self = .regionRead(try RegionAccessMessage(&reader, hasData: false, limit: transferSize))
        case .regionWrite: self = .regionWrite(try RegionAccessMessage(&reader, hasData: true, limit: transferSize))
        case .dmaRead: self = .dmaRead(try DMAAccessMessage(&reader, hasData: false, limit: transferSize))
        case .dmaWrite: self = .dmaWrite(try DMAAccessMessage(&reader, hasData: true, limit: transferSize))
        case .reset: self = .reset
        case .regionWriteMultiple: self = .regionWriteMultiple(try RegionWritesMessage(&reader))
        case .feature, .migrationRead, .migrationWrite: throw .unsupported
        }
        // Descriptors belong to two requests; with any other they are a mistake of the sender's.
        switch self {
        case .setInterrupts: break
        case .dmaMap: guard descriptors <= 1 else { throw .invalid }
        default: guard descriptors == 0 else { throw .invalid }
        }
    }

    package var command: MessageCommand {
        switch self {
        case .version: .version
        case .dmaMap: .dmaMap
        case .dmaUnmap: .dmaUnmap
        case .deviceInfo: .deviceInfo
        case .regionInfo: .regionInfo
        case .regionIODescriptors: .regionIODescriptors
        case .interruptInfo: .interruptInfo
        case .setInterrupts: .setInterrupts
        case .regionRead: .regionRead
        case .regionWrite: .regionWrite
        case .dmaRead: .dmaRead
        case .dmaWrite: .dmaWrite
        case .reset: .reset
        case .regionWriteMultiple: .regionWriteMultiple
        }
    }

    package var payload: [UInt8] {
        PayloadWriter.payload { writer in
            switch self {
            case .version(let message): writer.put(message.payload)
            case .dmaMap(let message): message.put(&writer)
            case .dmaUnmap(let message): message.put(&writer)
            case .deviceInfo(let message): message.put(&writer, fixed: 16)
            case .regionInfo(let message): message.put(&writer, fixed: 32)
            case .regionIODescriptors(let message): message.put(&writer, fixed: 16)
            case .interruptInfo(let message): message.put(&writer, fixed: 16)
            case .setInterrupts(let message): message.put(&writer)
            case .regionRead(let message), .regionWrite(let message): message.put(&writer)
            case .dmaRead(let message), .dmaWrite(let message): message.put(&writer)
            case .reset: break
            case .regionWriteMultiple(let message): message.put(&writer)
            }
        }
    }
}
