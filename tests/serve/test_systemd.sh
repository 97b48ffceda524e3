#!/usr/bin/env bash
# tern serve as a service of systemd: the socket that it is given, and what it says to NOTIFY_SOCKET.
. "$(dirname "$0")/serve.sh" systemd "$1"
