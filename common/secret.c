#include "common/secret.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A secret of full length, its newline (two bytes from some editors), and one byte more to see that
 * the file is longer. */
enum { FILE_BYTES_MAX = SECRET_BYTES_MAX + 3 };

bool secret_set(struct secret *s, struct bytes bytes, struct err *err)
{
	if (bytes.len == 0)
		return err_set(err, ERR_INVALID, "the secret is empty");
	if (bytes.len > SECRET_BYTES_MAX)
		return err_set(err, ERR_TOO_LARGE, "the secret is longer than %d bytes", SECRET_BYTES_MAX);
	secret_wipe(s);
	memcpy(s->hidden, bytes.data, bytes.len);
	s->hidden_len = bytes.len;
	return true;
}

/* Opens a regular file. O_NONBLOCK so that a FIFO in its place is refused instead of waited for. */
static int open_regular(const char *path, struct err *err)
{
	struct stat info;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0) {
		err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "cannot open %s: %s", path, strerror(errno));
		return -1;
	}
	if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode))
		return fd;
	err_set(err, ERR_INVALID, "%s is not a regular file", path);
	close(fd);
	return -1;
}

/* Reads until the end or until `size` bytes are there; -1 on an error of the system. */
static ssize_t read_up_to(int fd, uint8_t *out, size_t size)
{
	size_t len = 0;

	while (len < size) {
		ssize_t got = read(fd, out + len, size - len);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		len += (size_t)got;
	}
	return (ssize_t)len;
}

static size_t without_newline(const uint8_t *bytes, size_t len)
{
	if (len > 0 && bytes[len - 1] == '\n')
		len--;
	else
		return len;
	if (len > 0 && bytes[len - 1] == '\r')
		len--;
	return len;
}

bool secret_read_file(struct secret *s, const char *path, struct err *err)
{
	uint8_t content[FILE_BYTES_MAX];
	ssize_t len;
	bool done = false;
	int fd = open_regular(path, err);

	if (fd < 0)
		return false;
	len = read_up_to(fd, content, sizeof(content));
	if (len < 0) {
		err_set(err, ERR_IO, "cannot read %s: %s", path, strerror(errno));
		goto out;
	}
	if (!secret_set(s, bytes_make(content, without_newline(content, (size_t)len)), err)) {
		err_context(err, "while reading %s", path);
		goto out;
	}
	done = true;
out:
	OPENSSL_cleanse(content, sizeof(content));
	close(fd);
	return done;
}

struct bytes secret_bytes(const struct secret *s)
{
	assert(s->hidden_len <= SECRET_BYTES_MAX);
	return bytes_make(s->hidden, s->hidden_len);
}

void secret_wipe(struct secret *s)
{
	OPENSSL_cleanse(s, sizeof(*s));
	assert(s->hidden_len == 0);
}

bool secret_equal(const struct secret *a, const struct secret *b)
{
	assert(a->hidden_len <= SECRET_BYTES_MAX && b->hidden_len <= SECRET_BYTES_MAX);
	return a->hidden_len == b->hidden_len && CRYPTO_memcmp(a->hidden, b->hidden, a->hidden_len) == 0;
}
