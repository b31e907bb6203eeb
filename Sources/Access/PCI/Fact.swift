// SPDX-License-Identifier: Apache-2.0

/// What the system says about one property: a value, that there is none, or nothing, with the reason.
///
/// A file that may not be read is no evidence that what it describes is absent: tools that took it so reported memory, tables and devices as missing to
/// every user but root (ipmctl 22; intel-cmt-cat 307).
public enum Fact<Value: Sendable>: Sendable {
    /// The value.
    case known(Value)
    /// The system says that there is none.
    case none
    /// The system does not say: why.
    case unknown(String)

    /// The value; nil where there is none or it is not known.
    public var value: Value? { if case .known(let value) = self { value } else { nil } }
    /// Why it is not known; nil where it is.
    public var reason: String? { if case .unknown(let reason) = self { reason } else { nil } }

    /// The value in another form; unknown where `transform` does not accept it.
    func parsed<Other: Sendable>(_ source: String, _ transform: (Value) -> Other?) -> Fact<Other> {
        switch self {
        case .known(let value): transform(value).map { .known($0) } ?? .unknown("\(source) has no valid value")
        case .none: .none
        case .unknown(let reason): .unknown(reason)
        }
    }
}

extension Fact: Equatable where Value: Equatable {}
