#include "common/notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* systemd wants the time of a reload's begin, so that it can tell an old READY from the one that follows. */
static int write_message(const char *state, char *out, size_t cap)
{
	struct timespec now;
	if (strcmp(state, "RELOADING=1") != 0)
		return snprintf(out, cap, "%s\n", state);
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return snprintf(out, cap, "%s\nMONOTONIC_USEC=%lld\n", state,
			(long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
}

void notify_send(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	char message[128];
	if (path == NULL || path[0] == '\0' || strlen(path) >= sizeof(to.sun_path))
		return;
	memcpy(to.sun_path, path, strlen(path));
	if (to.sun_path[0] == '@')
		to.sun_path[0] = '\0'; /* the abstract name space */
	int len = write_message(state, message, sizeof(message));
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	socklen_t to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	if (len > 0)
		(void)sendto(fd, message, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&to,
			     to_len);
	(void)close(fd);
}
