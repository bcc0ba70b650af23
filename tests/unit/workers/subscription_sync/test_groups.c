/* workers/subscription_sync/groups.c and refresh_pause_s. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/limits.h"
#include "workers/subscription_sync/groups.h"
#include "workers/subscription_sync/refresh.h"

/* Why: a batch merges each subscription once. How: as many ids as fit, each taken twice, keep one group each, in their
 * order; clearing forgets all. */
static void test_each_id_has_one_group(void **state)
{
	(void)state;
	static char ids[BATCH_ITEMS_MAX][16];
	struct groups *groups = groups_new();
	assert_non_null(groups);
	for (int again = 0; again < 2; again++) {
		for (size_t i = 0; i < BATCH_ITEMS_MAX; i++) {
			(void)snprintf(ids[i], sizeof(ids[i]), "sub_%zu", i);
			struct group *group = groups_take(groups, bytes_of(ids[i]));
			assert_int_equal(group->version, again ? (int64_t)i : 0);
			group->version = (int64_t)i;
		}
		assert_int_equal(groups_count(groups), BATCH_ITEMS_MAX);
	}
	for (size_t i = 0; i < BATCH_ITEMS_MAX; i++)
		assert_int_equal(groups_at(groups, i)->version, i);
	groups_clear(groups);
	assert_int_equal(groups_count(groups), 0);
	assert_false(subscription_known(&groups_take(groups, bytes_of("sub_0"))->state));
	assert_int_equal(groups_at(groups, 0)->version, 0);
	groups_free(groups);
}

/* Why: an API that is away must not be asked in a loop. How: the pauses, up to an hour, also after very many failures.
 */
static void test_refresh_pauses(void **state)
{
	(void)state;
	assert_int_equal(refresh_pause_s(0), 2);
	assert_int_equal(refresh_pause_s(1), 4);
	assert_int_equal(refresh_pause_s(5), 64);
	assert_int_equal(refresh_pause_s(11), 3600);
	assert_int_equal(refresh_pause_s(INT64_MAX), 3600);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_id_has_one_group),
		cmocka_unit_test(test_refresh_pauses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
