// SPDX-License-Identifier: Apache-2.0

// The other process of a test: a server of an EDU, or a client that sends random requests until it is killed.
//
//   vfio-user-peer serve PATH
//   vfio-user-peer client PATH SEED

import DMAEDUModel
import DMAVFIOUserServer
import Foundation

let words = CommandLine.arguments
switch words.count > 2 ? words[1] : "" {
case "serve":
    let server = try VFIOUserServer(EDUModel(), path: words[2])
    // Until it is killed, or the test that has started it has ended.
    let parent = getppid()
    while getppid() == parent { usleep(100_000) }
    server.stop()
case "client":
    var client = try RandomClient(words[2], seed: UInt64(words.count > 3 ? words[3] : "") ?? 0)
    try client.run()
default:
    print("vfio-user-peer serve PATH | client PATH SEED")
    exit(64)
}
