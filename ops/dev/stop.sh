#!/usr/bin/env bash
# Stops what `make run` or `make run DETACH=1` started in VAR: programs, broker, PostgreSQL, in this order.
# Nothing running is no error.
set -euo pipefail
# shellcheck source=ops/dev/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if process_find run.sh; then
	kill -TERM "$PID"
	wait_until $((3 * STOP_DEADLINE_S)) process_gone run.sh || fail "make run (pid $PID) does not end"
	say "Stopped the make run of $VAR."
elif [[ -z $(processes_running) ]]; then
	say "Nothing runs in $VAR."
else
	stop_everything
fi
