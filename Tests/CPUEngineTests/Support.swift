// SPDX-License-Identifier: Apache-2.0

import DMACPUEngine
import Testing

/// `#expect` for noncopyable values, which the macro cannot take apart.
func check(_ isSo: Bool, _ comment: String = "", at location: SourceLocation = #_sourceLocation) {
    if !isSo { Issue.record("expected otherwise: \(comment)", sourceLocation: location) }
}

extension FIFOPeripheral {
    @discardableResult
    func deliver(_ bytes: ArraySlice<UInt8>, keepsRest: Bool = false) -> Int {
        unsafe bytes.withUnsafeBytes { buffer in
            deliver(unsafe RawSpan(_unsafeBytes: buffer), keepsRest: keepsRest)
        }
    }

    /// Up to `count` bytes from the wire.
    func collect(_ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let got = unsafe bytes.withUnsafeMutableBytes { buffer in
            var span = unsafe MutableRawSpan(_unsafeBytes: buffer)
            return collect(into: &span)
        }
        return Array(bytes[..<got])
    }
}
