/* What systemd and a service say to each other: the socket of a .socket unit, and that the service is ready or ends. Both by
 * environment variables, so without a library. */
#ifndef TN_CLI_SYSTEMD_H
#define TN_CLI_SYSTEMD_H

#include "runtime/base/error.h"

/* The socket that this process was given (LISTEN_FDS, LISTEN_PID). TERN_ERR_ENV if there is not just one, or if it does not
 * listen. */
TernStatus systemd_socket(int *fd, TernError *err);
/* Sends a line such as "READY=1" to NOTIFY_SOCKET; does nothing without that. A failure is a line on standard error. */
void systemd_notify(const char *state);

#endif
