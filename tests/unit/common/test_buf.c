#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "tests/unit/support/failing_alloc.h"

/* Why: growth must keep what is there. How: appends one byte at a time up to the bound and compares. */
static void grows_and_keeps_its_content(void **unused)
{
	struct buf b;

	(void)unused;
	buf_init(&b, 5000);
	for (unsigned i = 0; i < 5000; i++)
		assert_true(buf_append_byte(&b, (uint8_t)i));
	assert_int_equal(b.len, 5000);
	for (unsigned i = 0; i < 5000; i++)
		assert_int_equal(b.data[i], (uint8_t)i);
	buf_free(&b);
}

/* Why: the bound is a promise (no buffer without one), and a refusal must leave no half of an append.
 * How: each kind of append one byte over the bound, then one that fits exactly. */
static void refuses_whole_beyond_the_bound(void **unused)
{
	struct buf b;

	(void)unused;
	buf_init(&b, 10);
	assert_true(buf_append_text(&b, "12345"));
	assert_false(buf_append(&b, "678901", 6));
	assert_false(buf_append_text(&b, "678901"));
	assert_false(buf_printf(&b, "%s", "678901"));
	assert_false(buf_reserve(&b, 6));
	assert_false(buf_reserve(&b, SIZE_MAX));
	assert_false(buf_fits(&b, 6));
	assert_true(bytes_equal_text(buf_bytes(&b), "12345"));
	assert_true(buf_fits(&b, 5));
	assert_true(buf_printf(&b, "%05d", 67890));
	assert_false(buf_append_byte(&b, '!'));
	assert_true(bytes_equal_text(buf_bytes(&b), "1234567890"));
	assert_string_equal(buf_text(&b), "1234567890");
	buf_free(&b);
}

/* Why: a reader takes the front away while bytes still arrive. How: consumes part, all and nothing. */
static void consumes_from_the_front(void **unused)
{
	struct buf b;

	(void)unused;
	buf_init(&b, 100);
	buf_consume(&b, 0);
	assert_true(buf_append_text(&b, "GET / HTTP"));
	buf_consume(&b, 4);
	assert_true(bytes_equal_text(buf_bytes(&b), "/ HTTP"));
	buf_consume(&b, 6);
	assert_int_equal(b.len, 0);
	buf_free(&b);
}

/* Why: clear keeps the storage (no allocation per request), free is legal twice and on zeroes. How:
 * looks at the storage's address and frees in every state. */
static void clears_and_frees(void **unused)
{
	struct buf b;
	struct buf zero = {0};
	const uint8_t *storage;

	(void)unused;
	buf_init(&b, 100);
	assert_true(buf_append_text(&b, "abc"));
	storage = b.data;
	buf_clear(&b);
	assert_int_equal(b.len, 0);
	assert_ptr_equal(b.data, storage);
	assert_string_equal(buf_text(&b), "");
	buf_free(&b);
	buf_free(&b);
	assert_true(buf_append_text(&b, "again"));
	assert_true(bytes_equal_text(buf_bytes(&b), "again"));
	buf_free(&b);
	buf_free(&zero);
}

/* Why: an empty append with no data is legal C only when memcpy is not called. How: does it. */
static void takes_nothing(void **unused)
{
	struct buf b;

	(void)unused;
	buf_init(&b, 1);
	assert_true(buf_append(&b, NULL, 0));
	assert_true(buf_append_text(&b, ""));
	assert_int_equal(b.len, 0);
	buf_free(&b);
}

/* *len is the length after the last step that was done. */
static bool fill(struct buf *b, size_t *len)
{
	uint8_t piece[300] = {1};

	*len = 0;
	if (!buf_append_byte(b, 'a'))
		return false;
	*len = 1;
	if (!buf_append(b, piece, sizeof(piece)))
		return false;
	*len = 301;
	if (!buf_printf(b, "%0723d", 7))
		return false;
	*len = 1024; /* so that the NUL of buf_text needs room */
	return buf_text(b) != NULL;
}

/* Why: out of memory leaves the buffer as it was before the call that failed. How: fails each
 * allocation in turn while filling; the length is that of the step before. */
static void survives_every_failing_allocation(void **unused)
{
	(void)unused;
	for (unsigned n = 1;; n++) {
		struct buf b;
		size_t len;
		bool done;

		buf_init(&b, 4096);
		failing_alloc_arm(n);
		done = fill(&b, &len);
		if (!failing_alloc_disarm()) {
			assert_true(done);
			assert_true(n > 3); /* there were several to fail */
			buf_free(&b);
			return;
		}
		assert_false(done);
		assert_int_equal(b.len, len);
		assert_true(buf_append_byte(&b, 'z')); /* and it goes on */
		buf_free(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grows_and_keeps_its_content),
		cmocka_unit_test(refuses_whole_beyond_the_bound),
		cmocka_unit_test(consumes_from_the_front),
		cmocka_unit_test(clears_and_frees),
		cmocka_unit_test(takes_nothing),
		cmocka_unit_test(survives_every_failing_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
