#include "tests/unit/support/temp_dir.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

void temp_dir_make(struct temp_dir *dir)
{
	static const char pattern[] = "/tmp/watchpost-unit-XXXXXX";

	_Static_assert(sizeof(pattern) <= sizeof(dir->path), "the pattern fits");
	memcpy(dir->path, pattern, sizeof(pattern));
	assert_non_null(mkdtemp(dir->path));
}

void temp_dir_remove(struct temp_dir *dir)
{
	DIR *list = opendir(dir->path);
	struct dirent *entry;

	assert_non_null(list);
	while ((entry = readdir(list)) != NULL) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			assert_int_equal(unlinkat(dirfd(list), entry->d_name, 0), 0);
	}
	closedir(list);
	assert_int_equal(rmdir(dir->path), 0);
}

const char *temp_path(const struct temp_dir *dir, const char *name, char out[TEMP_PATH_BYTES])
{
	int len = snprintf(out, TEMP_PATH_BYTES, "%s/%s", dir->path, name);

	assert_true(len > 0 && len < TEMP_PATH_BYTES);
	return out;
}

void temp_write(const struct temp_dir *dir, const char *name, const void *content, size_t len)
{
	char path[TEMP_PATH_BYTES];
	FILE *file = fopen(temp_path(dir, name, path), "w");

	assert_non_null(file);
	assert_int_equal(fwrite(content, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

void temp_write_text(const struct temp_dir *dir, const char *name, const char *text)
{
	temp_write(dir, name, text, strlen(text));
}

char *temp_read(const char *path, size_t *len)
{
	enum { FILE_BYTES_MAX = 1 << 20 };
	char *content = malloc(FILE_BYTES_MAX + 1);
	FILE *file = fopen(path, "r");
	size_t got;

	assert_non_null(content);
	assert_non_null(file);
	got = fread(content, 1, FILE_BYTES_MAX, file);
	assert_true(feof(file) || got < FILE_BYTES_MAX);
	fclose(file);
	content[got] = '\0';
	if (len != NULL)
		*len = got;
	return content;
}
