/* common/text_fold.c: Unicode's look-alikes of ASCII. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/compiler.h"
#include "common/text_fold.h"

static void folds(const char *text, const char *expected)
{
	char out[256];
	size_t len = strlen(text);
	assert_true(len <= sizeof(out));
	size_t folded = text_fold(bytes_make(text, len), out);
	assert_true(folded <= len);
	assert_int_equal(folded, strlen(expected));
	assert_memory_equal(out, expected, folded);
}

/* Why: a rule about ASCII digits and letters must see what a reader sees. How: one text of each row kind of the table,
 * its ends, what lies beside them, and ASCII, which stays as it is. */
static void test_looks(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{"", ""},
		{"Plain ASCII: 12-34_5.6/7 ~", "Plain ASCII: 12-34_5.6/7 ~"},
		{"０１２３４５６７８９", "0123456789"},
		{"٠١٢٣٤٥٦٧٨٩", "0123456789"},
		{"०१२३४५६७८९", "0123456789"},
		{"𝟎𝟗𝟘𝟡𝟢𝟫𝟬𝟵𝟶𝟿", "0909090909"},
		{"⓪①⑨⑴⒈❶➊➀", "01911111"},
		{"⁰¹²³⁴⁹₀₉", "01234909"},
		{"ｗｐ＿ＡＺａｚ：", "wp_AZaz:"},
		{"𝐀𝐙𝐚𝐳𝚣", "AZazz"},
		{"ⒶⓏⓐⓩ", "AZaz"},
		{"a\xc2\xa0"
		 "b\xe3\x80\x80"
		 "c\xe2\x80\xaf"
		 "d",
		 "a b c d"},
		{"a‐b–c—d−e", "a-b-c-d-e"},
		{"a·b•c⋅d", "a.b.c.d"},
		{"a⁄b∕c／d", "a/b/c/d"},
		{"4\xef\xb8\x8f\xe2\x83\xa3", "4"}, /* a keycap */
		{"4\xe2\x80\x8b\xe2\x80\x8d\xc2\xad\xef\xbb\xbf\xcc\x81.",
		 "4."}, /* zero width, joiner, soft hyphen … */
		{"é漢😀", "\x80\x80\x80"},
		{"\xff\xc0\xaf", "\x80\x80\x80"}, /* not UTF-8 */
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		folds(cases[i][0], cases[i][1]);
}

/* Why: texts have lengths; a NUL in one is not its end. How: one in the middle. */
static void test_nul_stays(void **state)
{
	(void)state;
	char out[8];
	assert_int_equal(text_fold(bytes_make("a\0b", 3), out), 3);
	assert_memory_equal(out, "a\0b", 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_looks),
		cmocka_unit_test(test_nul_stays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
