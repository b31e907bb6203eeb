// SPDX-License-Identifier: Apache-2.0

import DMAFuzz
import Foundation

/// Runs the calls of ``Probe`` in a child: each call that ends it is reported, and another child continues after it.
enum Extremes {
    static func run(from first: UInt64) -> Int32 {
        let count = Probe.run(from: Int(clamping: first)) { number, name in
            print("call \(number) \(name)")
            fflush(nil)
        }
        print("done \(count)")
        return 0
    }

    static func supervise() -> Int32 {
        var first = 0
        var trapped = 0
        while true {
            let child = Child(["extremes", "--from", String(first)])
            let last = (child.lines.last ?? "").split(separator: " ", maxSplits: 2)
            if child.code == 0, last.first == "done", last.count == 2 {
                print("extremes: \(last[1]) calls, \(trapped) of which trapped")
                return trapped == 0 ? 0 : 1
            }
            guard last.first == "call", last.count == 3, let number = Int(last[1]) else {
                print("extremes: the child ended with \(child.code) before a call")
                return 1
            }
            print("ended with \(child.code): \(last[2])")
            trapped += 1
            first = number + 1
        }
    }
}
