/*
 * What every program that handles secrets does to its own process before it reads any.
 *
 * Thread: the first, before others exist.
 */
#ifndef WATCHPOST_COMMON_PROCESS_H
#define WATCHPOST_COMMON_PROCESS_H

#include "common/err.h"

/*
 * Promise 4: no core file. Memory holds request bodies, secrets and keys, and a core file or a debugger of the same
 * user would carry them out. From here on the process dumps no core, whatever limits and handlers the machine has, and
 * only root may look into it. Errors: ERR_IO when the kernel refuses; the program does not start then.
 */
MUSTCHECK bool process_harden(struct err *err);

#endif
