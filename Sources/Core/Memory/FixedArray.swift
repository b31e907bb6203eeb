// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// Up to a fixed number of noncopyable values: mapped buffers, blocks, transactions. Allocates once.
///
/// No index traps: functions return nil for one that is out of bounds.
///
/// Thread rules: a value; it may be sent to another thread if its elements may.
@safe
public struct FixedArray<Element: ~Copyable>: ~Copyable {
    // SAFETY: this array's own, with room for `capacity` elements, of which exactly the first `count` are initialized, here and
    // in every function below. With a capacity of 0 it is an address that is not dereferenced.
    private let storage: UnsafeMutablePointer<Element>
    /// The number of elements that there is room for.
    public let capacity: Int
    /// The number of elements.
    public private(set) var count: Int

    /// - Parameter capacity: a negative number counts as 0, and so does one beyond the available memory.
    public init(capacity: Int) {
        count = 0
        let alignment = MemoryLayout<Element>.alignment
        let (bytes, overflow) = max(capacity, 0).multipliedReportingOverflow(by: MemoryLayout<Element>.stride)
        // SAFETY: the memory is as long and as aligned as `capacity` elements want, and ends in `deinit`.
        guard capacity > 0, !overflow, let memory = unsafe cdma_object_allocate(alignment, bytes) else {
            self.capacity = 0
            unsafe storage = UnsafeMutablePointer(bitPattern: alignment).unsafelyUnwrapped
            return
        }
        self.capacity = capacity
        unsafe storage = memory.bindMemory(to: Element.self, capacity: capacity)
    }

    deinit {
        // SAFETY: see `storage`.
        unsafe storage.deinitialize(count: count)
        if capacity > 0 { unsafe cdma_object_free(storage) }
    }

    /// Whether it has no element.
    public var isEmpty: Bool { count == 0 }

    /// Appends an element.
    ///
    /// - Returns: nil; or, if there is no room, the element.
    public mutating func append(_ element: consuming Element) -> Element? {
        // SAFETY: the place is below the capacity, and nothing is initialized there: elements fill the places below `count`.
        guard count < capacity else { return element }
        unsafe (storage + count).initialize(to: element)
        count += 1
        return nil
    }

    /// Removes and returns the last element; nil if there is none.
    public mutating func popLast() -> Element? {
        // SAFETY: the first `count` elements are initialized, and this one is uncounted before it is moved out.
        guard count > 0 else { return nil }
        count -= 1
        return unsafe (storage + count).move()
    }

    /// Removes and returns the element at `index`, and moves those behind it up; nil if there is none. O(n).
    public mutating func remove(at index: Int) -> Element? {
        // SAFETY: the index is below `count`, where places are initialized; those behind it move up by one, so that the first
        // `count - 1` are initialized again.
        guard index >= 0, index < count else { return nil }
        let element = unsafe (storage + index).move()
        unsafe (storage + index).moveInitialize(from: storage + index + 1, count: count - index - 1)
        count -= 1
        return element
    }

    /// Ends all elements, the last first.
    public mutating func removeAll() {
        while popLast() != nil {}
    }

    /// Lends the element at `index` to `body`; nil if there is none.
    public borrowing func withElement<R: ~Copyable, E: Error>(
        at index: Int, _ body: (borrowing Element) throws(E) -> R
    ) throws(E) -> R? {
        // SAFETY: the index is below `count`, where places are initialized; the array is borrowed, so that none ends meanwhile.
        guard index >= 0, index < count else { return nil }
        return try unsafe body(storage[index])
    }

    /// Lends the element at `index` to `body` for modification; nil if there is none.
    public mutating func withMutableElement<R: ~Copyable, E: Error>(
        at index: Int, _ body: (inout Element) throws(E) -> R
    ) throws(E) -> R? {
        // SAFETY: as above; the array is accessed exclusively.
        guard index >= 0, index < count else { return nil }
        return try unsafe body(&storage[index])
    }
}

// SAFETY: the elements are the array's own, reached only through it, and may be sent themselves.
extension FixedArray: @unchecked Sendable where Element: Sendable & ~Copyable {}
