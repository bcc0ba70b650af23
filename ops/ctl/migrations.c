#include "ops/ctl/migrations.h"

#include <assert.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"

enum { VERSION_DIGITS = 4, READ_BYTES = 65536 };

/* dddd_ and lower-case letters, digits and '_', then ".sql"; the version, or 0 when the name is not of this form. */
static int version_of(const char *name)
{
	int version = 0;
	const char *rest = name;

	for (; rest < name + VERSION_DIGITS; rest++) {
		if (!isdigit((unsigned char)*rest))
			return 0;
		version = version * 10 + (*rest - '0');
	}
	if (*rest++ != '_' || *rest == '.')
		return 0;
	rest += strspn(rest, "abcdefghijklmnopqrstuvwxyz0123456789_");
	return strcmp(rest, ".sql") == 0 ? version : 0;
}

static bool ends_in_sql(const char *name)
{
	size_t len = strlen(name);

	return len > 4 && strcmp(name + len - 4, ".sql") == 0;
}

static bool add_name(struct migrations *list, const char *name, struct err *err)
{
	struct migration *grown;

	if (version_of(name) == 0)
		return err_set(err, ERR_INVALID, "%.100s: a migration is called 0001_name.sql", name);
	if (list->count == MIGRATIONS_MAX)
		return err_set(err, ERR_TOO_LARGE, "more than %d migrations", MIGRATIONS_MAX);
	grown = realloc(list->items, ((size_t)list->count + 1) * sizeof(*grown));
	if (grown == NULL)
		return err_set(err, ERR_FULL, "no memory for the list of migrations");
	list->items = grown;
	grown[list->count] = (struct migration){.version = version_of(name), .name = strdup(name)};
	if (grown[list->count].name == NULL)
		return err_set(err, ERR_FULL, "no memory for the list of migrations");
	list->count++;
	return true;
}

static bool list_names(const char *folder, struct migrations *list, struct err *err)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	bool ok = true;

	if (dir == NULL)
		return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%.200s: %s", folder, strerror(errno));
	while (ok && (entry = readdir(dir)) != NULL)
		if (ends_in_sql(entry->d_name) && entry->d_name[0] != '.')
			ok = add_name(list, entry->d_name, err);
	(void)closedir(dir);
	return ok;
}

static bool read_script(int fd, struct buf *script, struct err *err)
{
	char piece[READ_BYTES];
	ssize_t got;

	while ((got = read(fd, piece, sizeof(piece))) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_set(err, ERR_IO, "%s", strerror(errno));
		if (!buf_append(script, piece, (size_t)got))
			return err_set(err, ERR_TOO_LARGE, "longer than %d bytes", MIGRATION_BYTES_MAX);
	}
	/* The script is sent as a text: what stands behind a NUL would be in the checksum but never run. */
	if (script->len == 0 || memchr(script->data, '\0', script->len) != NULL)
		return err_set(err, ERR_INVALID, "empty, or it holds a NUL byte");
	return true;
}

static bool read_migration(int folder_fd, struct migration *migration, struct err *err)
{
	uint8_t digest[SHA256_BYTES];
	struct bytes part;
	struct buf script;
	const char *text;
	bool ok = false;
	int fd = openat(folder_fd, migration->name, O_RDONLY | O_CLOEXEC);

	buf_init(&script, MIGRATION_BYTES_MAX);
	if (fd < 0) {
		(void)err_set(err, ERR_IO, "%s", strerror(errno));
		goto out;
	}
	if (!read_script(fd, &script, err))
		goto out;
	part = buf_bytes(&script);
	digest_sha256(&part, 1, digest);
	hex_encode(digest, sizeof(digest), migration->checksum);
	text = buf_text(&script);
	migration->script = text != NULL ? strdup(text) : NULL;
	ok = migration->script != NULL || err_set(err, ERR_FULL, "no memory for it");
out:
	if (fd >= 0)
		(void)close(fd);
	buf_free(&script);
	return ok || err_context(err, "while reading %.100s", migration->name);
}

static int by_version(const void *a, const void *b)
{
	const struct migration *left = a, *right = b;

	return left->version != right->version ? left->version - right->version : strcmp(left->name, right->name);
}

/* 1, 2, 3 …: two branches that both made 0007 must be told, and so must a lost file. */
static bool check_versions(const struct migrations *list, struct err *err)
{
	for (int i = 0; i < list->count; i++)
		if (list->items[i].version != i + 1)
			return err_set(err, ERR_INVALID, "%.100s: number %04d is expected here", list->items[i].name,
				       i + 1);
	return list->count > 0 || err_set(err, ERR_NOT_FOUND, "there is no migration in it");
}

bool migrations_load(const char *folder, struct migrations *out, struct err *err)
{
	int fd = -1;
	bool ok = false;

	*out = (struct migrations){0};
	if (!list_names(folder, out, err))
		goto out;
	if (out->count > 0)
		qsort(out->items, (size_t)out->count, sizeof(*out->items), by_version);
	if (!check_versions(out, err))
		goto out;
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ok = fd >= 0 || err_set(err, ERR_IO, "%s", strerror(errno));
	for (int i = 0; ok && i < out->count; i++)
		ok = read_migration(fd, &out->items[i], err);
out:
	if (fd >= 0)
		(void)close(fd);
	if (!ok) {
		migrations_free(out);
		return err_context(err, "migrations in %.200s", folder);
	}
	return true;
}

void migrations_free(struct migrations *migrations)
{
	for (int i = 0; i < migrations->count; i++) {
		free(migrations->items[i].name);
		free(migrations->items[i].script);
	}
	free(migrations->items);
	*migrations = (struct migrations){0};
}
