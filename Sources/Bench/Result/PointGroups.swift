// SPDX-License-Identifier: Apache-2.0

/// What is said of several points at once, so that it need not be read once for each of them.
package enum PointGroups {
    /// The texts in the order in which they come first, each with the points that it is said of.
    package static func byText(_ items: [(point: BenchPoint, text: String)]) -> [(text: String, points: [BenchPoint])] {
        var order: [String] = []
        var points: [String: [BenchPoint]] = [:]
        for item in items {
            if points[item.text] == nil { order.append(item.text) }
            points[item.text, default: []].append(item.point)
        }
        return order.map { ($0, points[$0] ?? []) }
    }

    /// A name for some points: that of the only one, or their engines and how many they are.
    package static func name(_ points: [BenchPoint], one: (BenchPoint) -> String) -> String {
        if let first = points.first, points.count == 1 { return one(first) }
        var engines: [String] = []
        for point in points where !engines.contains(point.engine) { engines.append(point.engine) }
        return engines.joined(separator: ", ") + ", \(points.count) points"
    }
}
