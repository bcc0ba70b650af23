#include "common/process.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

bool process_harden(struct err *err)
{
	/* The limit is inherited by whatever is started from here; handlers of cores (a pipe in core_pattern) pass over
	 * it, and for them there is the flag. */
	const struct rlimit none = {.rlim_cur = 0, .rlim_max = 0};

	if (setrlimit(RLIMIT_CORE, &none) != 0)
		return err_set(err, ERR_IO, "while turning core files off: %s", strerror(errno));
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return err_set(err, ERR_IO, "while closing this process to others: %s", strerror(errno));
	return true;
}
