/*
 * The files of migrations/: 0001_name.sql, 0002_other.sql …, without gaps.
 *
 * Thread: one. Owns: the list owns names and texts until migrations_free.
 * Errors: ERR_NOT_FOUND (folder), ERR_INVALID (a name, a gap, a NUL), ERR_TOO_LARGE, ERR_IO, naming the file.
 */
#ifndef WATCHPOST_OPS_CTL_MIGRATIONS_H
#define WATCHPOST_OPS_CTL_MIGRATIONS_H

#include "common/digest.h"
#include "common/err.h"

struct migration {
	int version;                     /* 1, 2 … */
	char *name;                      /* the file's name: "0001_foundation.sql" */
	char *script;                    /* its text, NUL-terminated */
	char checksum[SHA256_HEX_BYTES]; /* SHA-256 of the text, lower-case hex */
};

struct migrations {
	struct migration *items; /* by version; items[0].version is 1 */
	int count;
};

/* Reads every file of the folder that ends in .sql; other files are passed over. */
MUSTCHECK bool migrations_load(const char *folder, struct migrations *out, struct err *err);
void migrations_free(struct migrations *migrations);

#endif
