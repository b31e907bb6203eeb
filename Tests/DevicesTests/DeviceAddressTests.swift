// SPDX-License-Identifier: Apache-2.0

import DMADevices
import DMATestSupport
import Testing

@Suite("Addresses of devices")
struct DeviceAddressTests {
    @Test("an address is read as it is written")
    func forms() throws {
        for text in ["model:edu", "qtest:q35,edu", "qtest:pc,edu,addr=0x7", "qtest:q35,edu,dma_mask=0xffffffff"] {
            #expect(try DeviceAddress(text)?.description == text)
        }
        #expect(try DeviceAddress("qtest:q35,edu,addr=7") == .qtest(machine: "q35", device: "edu,addr=7"))
    }

    @Test("what has no prefix is the name of an engine")
    func names() throws {
        for text in ["cpu", "io_uring", "", "cpu/0", "nvme:x", "MODEL:edu", "http://x"] {
            #expect(try DeviceAddress(text) == nil)
        }
    }

    @Test("what has a prefix and is no address is refused, with the form")
    func refused() {
        for text in [
            "model:", "model:a b", "model:\u{1b}[31m", "qtest:", "qtest:q35", "qtest:q35,", "qtest:,edu", "qtest:q35,edu\n-S",
            "qtest:q 35,edu", "qtest:q35,edu$(x)", "qtest:" + String(repeating: "a", count: 99) + ",edu",
        ] {
            do throws(DeviceFailure) {
                let found = try DeviceAddress(text)
                Issue.record("\(text): \(String(describing: found))")
            } catch { #expect(error.address == text && !error.detail.isEmpty && error.cure.hasSuffix(".")) }
        }
    }
}
