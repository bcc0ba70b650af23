#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/process.h"

enum { NOT_HARDENED = 7 };

/* In a child, so that the other tests keep their process as it is. */
static int status_of_child(void (*child)(void))
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		child();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void allow_cores(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_CORE, &limit) != 0)
		_exit(NOT_HARDENED);
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_CORE, &limit) != 0)
		_exit(NOT_HARDENED);
}

static void harden_and_look(void)
{
	struct rlimit limit;
	struct err err;

	allow_cores();
	if (!process_harden(&err) || !process_harden(&err))
		_exit(NOT_HARDENED);
	if (getrlimit(RLIMIT_CORE, &limit) != 0 || limit.rlim_cur != 0 || limit.rlim_max != 0)
		_exit(NOT_HARDENED);
	if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		_exit(NOT_HARDENED);
}

static void harden_and_abort(void)
{
	struct err err;

	allow_cores();
	if (process_harden(&err))
		abort();
}

/* Why: promise 4, core files. How: a child that may write cores hardens itself, twice, and asks the kernel what holds.
 */
static void turns_cores_and_looking_off(void **unused)
{
	int status = status_of_child(harden_and_look);

	(void)unused;
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* Why: it is the crash that counts. How: a child hardens itself and aborts; the kernel says that no core was written.
 */
static void a_crash_leaves_no_core(void **unused)
{
	int status = status_of_child(harden_and_abort);

	(void)unused;
	assert_true(WIFSIGNALED(status));
	assert_false(WCOREDUMP(status));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(turns_cores_and_looking_off),
		cmocka_unit_test(a_crash_leaves_no_core),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
