// SPDX-License-Identifier: Apache-2.0

/// Free ranges of addresses, ordered; each node stores the longest range of its subtree, so that a search skips subtrees in
/// which it cannot succeed. Finding, taking and returning a range each cost O(log n) on average.
///
/// A treap (a search tree over the start, a heap over random priorities) in one array, nodes linked by index. No two ranges
/// overlap or touch: the callers of `insert` guarantee that.
struct FreeRanges: Sendable {
    struct Range: Equatable, Sendable {
        var start: UInt64
        /// Inclusive, so that the last address of the space can be represented.
        var last: UInt64
    }

    private struct Node: Sendable {
        var range: Range
        /// Length less 1 of the longest range in this subtree; less 1 so that the whole space can be represented.
        var longest: UInt64
        var left: Int32
        var right: Int32
        var priority: UInt32
    }

    private static let none: Int32 = -1
    private var nodes: [Node] = []
    private var spare: [Int32] = []
    private var root: Int32 = none
    private var seed: UInt32 = 0x9e37_79b9
    private(set) var count = 0

    mutating func insert(_ range: Range) {
        let node = make(range)
        let (left, right) = split(root, before: range.start)
        root = join(join(left, node), right)
        count += 1
    }

    /// Removes the range that starts at `start`, if there is one.
    mutating func remove(startingAt start: UInt64) {
        root = remove(start, from: root)
    }

    /// The range with the greatest start that is not above `address`.
    func range(atOrBefore address: UInt64) -> Range? {
        var node = root
        var best: Range?
        while node != Self.none {
            let current = nodes[Int(node)]
            if current.range.start <= address {
                best = current.range
                node = current.right
            } else {
                node = current.left
            }
        }
        return best
    }

    func range(startingAt start: UInt64) -> Range? {
        guard let range = range(atOrBefore: start), range.start == start else { return nil }
        return range
    }

    /// The first range for which `fit` returns a value, from the top or from the bottom, with that value. `fit` is called only
    /// for ranges of at least `length` bytes that start at or below `limit`.
    func first(
        of length: UInt64, limit: UInt64, fromTop: Bool, fit: (Range) -> UInt64?
    ) -> (range: Range, address: UInt64)? {
        search(root, length - 1, limit, fromTop, fit)
    }

    /// All ranges in ascending order.
    var all: [Range] {
        var result: [Range] = []
        func visit(_ node: Int32) {
            guard node != Self.none else { return }
            visit(nodes[Int(node)].left)
            result.append(nodes[Int(node)].range)
            visit(nodes[Int(node)].right)
        }
        visit(root)
        return result
    }

    private func search(
        _ node: Int32, _ longest: UInt64, _ limit: UInt64, _ fromTop: Bool, _ fit: (Range) -> UInt64?
    ) -> (range: Range, address: UInt64)? {
        guard node != Self.none else { return nil }
        let current = nodes[Int(node)]
        guard current.longest >= longest else { return nil }
        if current.range.start > limit { return search(current.left, longest, limit, fromTop, fit) }
        let near = fromTop ? current.right : current.left
        if let found = search(near, longest, limit, fromTop, fit) { return found }
        if current.range.last - current.range.start >= longest, let address = fit(current.range) {
            return (current.range, address)
        }
        return search(fromTop ? current.left : current.right, longest, limit, fromTop, fit)
    }

    private mutating func make(_ range: Range) -> Int32 {
        // xorshift32: the priorities need no quality beyond not following the addresses.
        seed ^= seed << 13
        seed ^= seed >> 17
        seed ^= seed << 5
        let node = Node(range: range, longest: range.last - range.start, left: Self.none, right: Self.none, priority: seed)
        if let index = spare.popLast() {
            nodes[Int(index)] = node
            return index
        }
        nodes.append(node)
        return Int32(nodes.count - 1)
    }

    private mutating func refresh(_ node: Int32) {
        let current = nodes[Int(node)]
        var longest = current.range.last - current.range.start
        if current.left != Self.none { longest = max(longest, nodes[Int(current.left)].longest) }
        if current.right != Self.none { longest = max(longest, nodes[Int(current.right)].longest) }
        nodes[Int(node)].longest = longest
    }

    private mutating func split(_ node: Int32, before start: UInt64) -> (Int32, Int32) {
        guard node != Self.none else { return (Self.none, Self.none) }
        if nodes[Int(node)].range.start < start {
            let (left, right) = split(nodes[Int(node)].right, before: start)
            nodes[Int(node)].right = left
            refresh(node)
            return (node, right)
        }
        let (left, right) = split(nodes[Int(node)].left, before: start)
        nodes[Int(node)].left = right
        refresh(node)
        return (left, node)
    }

    private mutating func join(_ left: Int32, _ right: Int32) -> Int32 {
        if left == Self.none { return right }
        if right == Self.none { return left }
        if nodes[Int(left)].priority > nodes[Int(right)].priority {
            nodes[Int(left)].right = join(nodes[Int(left)].right, right)
            refresh(left)
            return left
        }
        nodes[Int(right)].left = join(left, nodes[Int(right)].left)
        refresh(right)
        return right
    }

    private mutating func remove(_ start: UInt64, from node: Int32) -> Int32 {
        guard node != Self.none else { return node }
        let current = nodes[Int(node)]
        if current.range.start == start {
            spare.append(node)
            count -= 1
            return join(current.left, current.right)
        }
        if start < current.range.start {
            nodes[Int(node)].left = remove(start, from: current.left)
        } else {
            nodes[Int(node)].right = remove(start, from: current.right)
        }
        refresh(node)
        return node
    }
}
