// SPDX-License-Identifier: Apache-2.0

#if Logging
    public import DMACore
    public import Logging

    extension Sanitizer {
        /// Turns the sanitizer on for the whole process, and logs each of its reports.
        ///
        /// A report's identifier, its rule of the contract and the source locations are metadata, so that a log can be searched
        /// for them: `dma.sanitizer`, `dma.rule`, `dma.mapping`.
        ///
        /// - Parameters:
        ///   - logger: receives the reports. It is called on the thread that made the mistake.
        ///   - level: of a report. Misuse of DMA is an error, unless a program is known to do it.
        public static func enable(logger: Logger, level: Logger.Level = .error) {
            enable { report in
                var metadata: Logger.Metadata = [
                    "dma.sanitizer": "\(report.identifier.rawValue)", "dma.rule": "\(report.rule)",
                    "dma.domain": "\(report.domain.rawValue)",
                ]
                if !report.mappingFile.isEmpty { metadata["dma.mapping"] = "\(report.mappingFile):\(report.mappingLine)" }
                logger.log(
                    level: level, "\(report.message)", metadata: metadata, source: "DMA", file: report.file, function: "",
                    line: report.line)
            }
        }
    }
#endif
