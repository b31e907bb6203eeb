// SPDX-License-Identifier: Apache-2.0
// Operations that are forbidden on a hot path, made on purpose: the hot-path check must report each of them, or it detects
// nothing.

import Synchronization

final class Counter: Sendable {
    let value: Mutex<UInt64>
    init(_ value: UInt64) { self.value = Mutex(value) }
}

/// Where `counterRetain` stores its references, so that the optimizer must keep each of them.
struct Shelf {
    var counter: Counter
}

/// Retains and releases an object for each operation.
@inline(never)
func counterRetain(_ shelves: inout [Shelf], _ operations: UInt64) -> UInt64 {
    var index: UInt64 = 0
    while index < operations {
        let slot = Int(truncatingIfNeeded: index & 1)
        shelves[slot].counter = shelves[1 - slot].counter
        index += 1
    }
    return index
}

/// Allocates an object for each operation.
@inline(never)
func counterAllocate(_ operations: UInt64) -> Counter {
    var counter = Counter(0)
    var index: UInt64 = 0
    while index < operations {
        index += 1
        counter = Counter(index)
    }
    return counter
}

/// Takes a lock for each operation.
@inline(never)
func counterLock(_ counter: Counter, _ operations: UInt64) -> UInt64 {
    var index: UInt64 = 0
    while index < operations {
        index += 1
        counter.value.withLock { $0 &+= index }
    }
    return counter.value.withLock { $0 }
}

func runCounterexample(_ variant: String, _ operations: UInt64) -> UInt64? {
    switch variant {
    case "counter-retain":
        var shelves = [Shelf(counter: Counter(1)), Shelf(counter: Counter(2))]
        return counterRetain(&shelves, operations)
    case "counter-allocate": return counterAllocate(operations).value.withLock { $0 }
    case "counter-lock": return counterLock(Counter(0), operations)
    default: return nil
    }
}
