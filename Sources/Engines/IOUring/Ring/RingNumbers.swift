// SPDX-License-Identifier: Apache-2.0

/// Constants of the kernel's ABI: include/uapi/linux/io_uring.h.
@usableFromInline
enum Opcode {
    static let nop: UInt8 = 0
    static let readv: UInt8 = 1
    static let writev: UInt8 = 2
    static let fsync: UInt8 = 3
    // Those of the fast path are computed: code inlined elsewhere must not access a global.
    @inlinable static var readFixed: UInt8 { 4 }
    @inlinable static var writeFixed: UInt8 { 5 }
    static let pollAdd: UInt8 = 6
    static let sendMessage: UInt8 = 9
    static let receiveMessage: UInt8 = 10
    static let cancel: UInt8 = 14
    static let fallocate: UInt8 = 17
    @inlinable static var read: UInt8 { 22 }
    @inlinable static var write: UInt8 { 23 }
    static let send: UInt8 = 26
    static let receive: UInt8 = 27
    static let splice: UInt8 = 30
    static let tee: UInt8 = 33
    static let command: UInt8 = 46
    static let sendZeroCopy: UInt8 = 47
    static let sendMessageZeroCopy: UInt8 = 48
}

enum EntryFlags {
    static let fixedFile: UInt8 = 1 << 0
    static let link: UInt8 = 1 << 2
    static let bufferSelect: UInt8 = 1 << 5
}

enum SetupFlags {
    static let completionPolling: UInt32 = 1 << 0
    static let submissionThread: UInt32 = 1 << 1
    static let completionSize: UInt32 = 1 << 3
    static let clamp: UInt32 = 1 << 4
    static let disabled: UInt32 = 1 << 6
    static let submitAll: UInt32 = 1 << 7
    static let cooperative: UInt32 = 1 << 8
    static let taskRunFlag: UInt32 = 1 << 9
    static let entries128: UInt32 = 1 << 10
    static let completions32: UInt32 = 1 << 11
    static let singleIssuer: UInt32 = 1 << 12
    static let deferTaskRun: UInt32 = 1 << 13
    static let noArray: UInt32 = 1 << 16
}

enum RingFeature {
    static let singleMap: UInt32 = 1 << 0
    static let noDrop: UInt32 = 1 << 1
    static let currentPosition: UInt32 = 1 << 3
    static let fastPoll: UInt32 = 1 << 5
    static let waitArgument: UInt32 = 1 << 8
    static let resourceTags: UInt32 = 1 << 10
}

enum EnterFlags {
    static let getEvents: UInt32 = 1 << 0
    static let wakeUp: UInt32 = 1 << 1
    static let argument: UInt32 = 1 << 3
    static let registeredRing: UInt32 = 1 << 4
}

enum SubmissionFlags {
    static let needWakeUp: UInt32 = 1 << 0
    static let overflow: UInt32 = 1 << 1
    static let taskRun: UInt32 = 1 << 2
}

enum CompletionFlags {
    static let buffer: UInt32 = 1 << 0
    static let more: UInt32 = 1 << 1
    static let notification: UInt32 = 1 << 3
    static let bufferMore: UInt32 = 1 << 4
}

enum RegisterOperation {
    static let eventFile: UInt32 = 4
    static let probe: UInt32 = 8
    static let enable: UInt32 = 12
    static let files: UInt32 = 13
    static let filesUpdate: UInt32 = 14
    static let buffers: UInt32 = 15
    static let buffersUpdate: UInt32 = 16
    static let ringFile: UInt32 = 20
    static let bufferRing: UInt32 = 22
    static let endBufferRing: UInt32 = 23
}

enum CancelFlags {
    static let all: UInt32 = 1 << 0
    static let file: UInt32 = 1 << 1
    static let any: UInt32 = 1 << 2
    static let fixedFile: UInt32 = 1 << 3
}
