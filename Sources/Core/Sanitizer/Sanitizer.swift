// SPDX-License-Identifier: Apache-2.0
public import CDMA

/// Detects misuse at run time that the types cannot prevent: the kernel's CONFIG_DMA_API_DEBUG, and more.
///
/// When off, it costs one relaxed load at each check. It is turned on by `DMA_SANITIZE=1` in the environment, which the first
/// domain reads, or by ``enable(handler:)``. It prints nothing: reports go to a handler, or are kept for ``reports()``.
///
/// Thread rules: all functions may be called from any thread.
public enum Sanitizer {
    /// Called for each report, on the thread that made the mistake, with no lock of this package held.
    public typealias Handler = @Sendable (SanitizerReport) -> Void

    private struct State {
        var handler: Handler?
        var kept: [SanitizerReport] = []
        var dropped: UInt64 = 0
    }

    private static let state = Locked(State())
    /// The maximum number of kept reports; later ones are only counted.
    public static let capacity = 1024

    /// Whether the sanitizer is on.
    @inlinable
    public static var isEnabled: Bool { cdma_sanitizer_load() != 0 }

    /// Turns the sanitizer on for the whole process.
    ///
    /// - Parameter handler: receives the reports; nil keeps up to ``capacity`` of them for ``reports()``.
    public static func enable(handler: Handler? = nil) {
        state.withLock { $0.handler = handler }
        cdma_sanitizer_store(1)
    }

    /// Turns it off. Existing mappings stay recorded, so that it can be turned on again later.
    public static func disable() { cdma_sanitizer_store(0) }

    /// The reports kept so far, oldest first.
    public static func reports() -> [SanitizerReport] { state.withLock { $0.kept } }

    /// The kept reports about one address space.
    public static func reports(for domain: DomainID) -> [SanitizerReport] {
        state.withLock { state in state.kept.filter { $0.domain == domain } }
    }

    /// The number of reports that were dropped for lack of room.
    public static var droppedReports: UInt64 { state.withLock { $0.dropped } }

    /// Returns and removes the kept reports, with the number of dropped ones.
    public static func takeReports() -> [SanitizerReport] {
        state.withLock { state in
            let reports = state.kept
            state.kept = []
            state.dropped = 0
            return reports
        }
    }

    /// Whether `DMA_SANITIZE` is set to something other than "" and "0". Read once in the life of the process.
    static let environmentAsks: Bool = {
        let asks = cdma_sanitizer_asked()
        if asks { cdma_sanitizer_store(1) }
        return asks
    }()

    static func report(
        _ identifier: SanitizerReport.Identifier, _ domain: DomainID, _ message: @autoclosure () -> String,
        at call: Origin? = nil, mapping: Origin? = nil
    ) {
        guard isEnabled else { return }
        let report = SanitizerReport(identifier, domain, message(), at: call, mapping: mapping)
        let handler = state.withLock { state -> Handler? in
            if let handler = state.handler { return handler }
            if state.kept.count < capacity { state.kept.append(report) } else { state.dropped += 1 }
            return nil
        }
        handler?(report)
    }
}
