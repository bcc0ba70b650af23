/*
 * An allocator that fails the Nth call, so that tests visit the error paths of allocation.
 *
 * Linked into every unit test: malloc, calloc and realloc count and pass through. Only the thread
 * that armed it is counted, and what libraries allocate in its name counts too.
 *
 *	for (unsigned n = 1;; n++) {
 *		failing_alloc_arm(n);
 *		done = what_is_tested();
 *		if (!failing_alloc_disarm())
 *			break;            // fewer than n allocations: every one has been failed
 *		assert_false(done);       // and nothing was changed
 *	}
 */
#ifndef WATCHPOST_TESTS_UNIT_SUPPORT_FAILING_ALLOC_H
#define WATCHPOST_TESTS_UNIT_SUPPORT_FAILING_ALLOC_H

#include <stdbool.h>

#include "common/compiler.h"

/* This thread's nth allocation from now on, counted from 1, returns NULL. */
void failing_alloc_arm(unsigned nth);

/* Back to normal. True when the nth allocation was asked for. */
MUSTCHECK bool failing_alloc_disarm(void);

#endif
