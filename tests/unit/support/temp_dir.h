/*
 * A private directory for one test, with small files in it.
 *
 * Owns: the directory; temp_dir_remove deletes it with all files. Thread: one. Errors: fail the test.
 */
#ifndef WATCHPOST_TESTS_UNIT_SUPPORT_TEMP_DIR_H
#define WATCHPOST_TESTS_UNIT_SUPPORT_TEMP_DIR_H

#include <stddef.h>

struct temp_dir {
	char path[64];
};

void temp_dir_make(struct temp_dir *dir);
void temp_dir_remove(struct temp_dir *dir);

/* The path of `name` inside; `out` holds TEMP_PATH_BYTES. Returns out. */
enum { TEMP_PATH_BYTES = 256 };
const char *temp_path(const struct temp_dir *dir, const char *name, char out[TEMP_PATH_BYTES]);

/* Writes the file `name` anew. */
void temp_write(const struct temp_dir *dir, const char *name, const void *content, size_t len);
void temp_write_text(const struct temp_dir *dir, const char *name, const char *text);

/* The whole of a file with a NUL behind it; the caller frees it. `len` may be NULL. */
char *temp_read(const char *path, size_t *len);

#endif
