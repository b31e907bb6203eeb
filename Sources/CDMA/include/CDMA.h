// SPDX-License-Identifier: Apache-2.0
// The only C of the package: operations that Swift cannot express, as static inline functions, except for cdma_child.c and cdma_socket.c. One header per topic.
#ifndef CDMA_H
#define CDMA_H

#include "cdma_atomic.h"
#include "cdma_board.h"
#include "cdma_child.h"
#include "cdma_event.h"
#include "cdma_file.h"
#include "cdma_foreign.h"
#include "cdma_fork.h"
#include "cdma_kernels.h"
#include "cdma_memory.h"
#include "cdma_nvme_passthrough.h"
#include "cdma_process.h"
#include "cdma_socket.h"
#include "cdma_statx.h"
#include "cdma_storage.h"
#include "cdma_thread.h"
#include "cdma_uring.h"
#include "cdma_vfio.h"

#endif
