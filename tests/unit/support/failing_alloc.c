#include "tests/unit/support/failing_alloc.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>

/* What does the work: the sanitizer's allocator where there is one, else the C library's. */
void *__interceptor_malloc(size_t size) __attribute__((weak));
void *__interceptor_calloc(size_t count, size_t size) __attribute__((weak));
void *__interceptor_realloc(void *old, size_t size) __attribute__((weak));
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

/* The ones that programs call; declared here because stdlib.h would want attributes of its own. */
void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *old, size_t size);

static _Thread_local unsigned left; /* allocations until the one that fails, that one included */
static _Thread_local bool armed;

static bool fails_now(void)
{
	if (!armed || left == 0 || --left > 0)
		return false;
	errno = ENOMEM;
	return true;
}

void *malloc(size_t size)
{
	if (fails_now())
		return NULL;
	return __interceptor_malloc != NULL ? __interceptor_malloc(size) : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	if (fails_now())
		return NULL;
	return __interceptor_calloc != NULL ? __interceptor_calloc(count, size) : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
	if (fails_now())
		return NULL;
	return __interceptor_realloc != NULL ? __interceptor_realloc(old, size) : __libc_realloc(old, size);
}

void failing_alloc_arm(unsigned nth)
{
	assert(nth > 0 && !armed);
	left = nth;
	armed = true;
}

bool failing_alloc_disarm(void)
{
	assert(armed);
	armed = false;
	return left == 0;
}
