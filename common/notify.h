/*
 * Tells systemd how the process is (sd_notify(3)): "READY=1", "RELOADING=1", "STOPPING=1", "WATCHDOG=1".
 *
 * Thread: any. Errors: none; without NOTIFY_SOCKET in the environment it does nothing.
 */
#ifndef WATCHPOST_COMMON_NOTIFY_H
#define WATCHPOST_COMMON_NOTIFY_H

void notify_send(const char *state);

#endif
