# Parts of run.sh, stop.sh and try.sh: the folder, progress lines, ports, waiting, processes. Sourced, never run.
# shellcheck shell=bash

umask 077
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
VAR=${VAR:-var}
[[ $VAR == /* ]] || VAR=$ROOT/$VAR
BIN=${BUILD:-build}/bin
[[ $BIN == /* ]] || BIN=$ROOT/$BIN
# shellcheck disable=SC2034 # for those who source this
CTL=$BIN/watchpostctl

STOP_DEADLINE_S=15 # more than the ingress' drain_timeout_ms of 10 s

say() { printf '%s\n' "$*"; }
complain() { printf 'watchpost: %s\n' "$*" >&2; }
fail() {
	complain "$@"
	exit 1
}

# A path as one would type it from here.
short_path() { printf '%s' "${1#"$ROOT"/}"; }

# What a make command needs besides to mean this system: " VAR=…", or nothing for var/.
var_word() { [[ $VAR == "$ROOT/var" ]] || printf ' VAR=%s' "$(short_path "$VAR")"; }

now_ms() {
	local now=${EPOCHREALTIME/[.,]/}
	printf '%s' "$((now / 1000))"
}

# seconds_since MS: "1.4 s"
seconds_since() {
	local ms=$(($(now_ms) - $1))
	printf '%d.%d s' "$((ms / 1000))" "$((ms % 1000 / 100))"
}

# step NAME STATE SINCE_MS [DETAIL]: one progress line.
step() { printf '  %-28s %-10s %7s  %s\n' "$1" "$2" "$(seconds_since "$3")" "${4:-}"; }

# wait_until DEADLINE_S COMMAND…: true as soon as the command is; false at the deadline.
wait_until() {
	local end=$(($(now_ms) + $1 * 1000))
	shift
	until "$@"; do
		(($(now_ms) < end)) || return 1
		sleep 0.05
	done
}

# --- ports ---------------------------------------------------------------------------------------

port_free() { [[ -z $(ss -Hltn "sport = :$1") ]]; }

# Who listens there, as far as we may know: "nginx, pid 12".
port_user() { ss -Hltnp "sport = :$1" | sed -nE 's/.*\(\("([^"]+)",pid=([0-9]+).*/\1, pid \2/p' | head -n 1; }

# Below the range that the kernel takes for outgoing connections, so nobody gets it by chance while we are down.
free_port() {
	local try port
	for ((try = 0; try < 100; try++)); do
		port=$((20000 + RANDOM % 12000))
		if port_free "$port"; then
			printf '%s' "$port"
			return
		fi
	done
	fail "no free port found between 20000 and 32000"
}

# --- processes -------------------------------------------------------------------------------------
# var/run/<name> holds "pid start-time": a pid that the kernel gave to somebody else since is not ours.

# Field 22 of /proc/PID/stat; nothing when the process is gone or dead.
process_stamp() { # PID
	local stat
	{ stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 0
	local -a fields
	read -ra fields <<<"${stat##*) }"
	[[ ${fields[0]} == Z ]] || printf '%s' "${fields[19]}"
}

process_record() { # NAME PID
	mkdir -p "$VAR/run"
	printf '%s %s\n' "$2" "$(process_stamp "$2")" >"$VAR/run/$1"
}

# Sets PID to the running process of that name; false when there is none.
process_find() { # NAME
	local stamp
	PID=
	[[ -s $VAR/run/$1 ]] || return 1
	read -r PID stamp <"$VAR/run/$1"
	[[ -n $stamp && $(process_stamp "$PID") == "$stamp" ]]
}

process_gone() { ! process_find "$1"; }

# Recorded names that run, one a line.
processes_running() {
	local file
	for file in "$VAR"/run/*; do
		[[ -f $file ]] || continue
		! process_find "${file##*/}" || say "${file##*/}"
	done
}

# process_start NAME LOG COMMAND…: in a session of its own, so that Ctrl-C reaches only run.sh, which stops in order.
process_start() {
	local name=$1 log=$2
	shift 2
	setsid "$@" </dev/null >>"$log" 2>&1 9>&- &
	process_record "$name" $!
}

# process_signal SIGNAL NAME…
process_signal() {
	local signal=$1 name
	shift
	for name in "$@"; do
		! process_find "$name" || kill "-$signal" "$PID" 2>/dev/null || true
	done
}

# process_stop NAME…: together; who has not ended by the deadline is killed, and that is said.
process_stop() {
	local name
	process_signal TERM "$@"
	for name in "$@"; do
		if ! wait_until "$STOP_DEADLINE_S" process_gone "$name"; then
			complain "$name did not end in $STOP_DEADLINE_S s and was killed"
			process_signal KILL "$name"
			wait_until 2 process_gone "$name" || true
		fi
		rm -f "$VAR/run/$name"
	done
}

# --- the whole system ---------------------------------------------------------------------------------

stop_programs() { # NAME…
	(($# > 0)) || return 0
	local since name
	since=$(now_ms)
	process_stop "$@"
	for name in "$@"; do
		step "$name" stopped "$since"
	done
}

# stop_server NAME SCRIPT FOLDER: also when an interrupted start left it running without a record.
stop_server() {
	local since ran=0
	[[ -d $3 ]] || return 0
	since=$(now_ms)
	! process_find "$1" || ran=1
	"$ROOT/ops/dev/$2" stop "$3" || complain "$1 did not stop; $VAR/run says what is left"
	rm -f "$VAR/run/$1"
	((ran == 0)) || step "$1" stopped "$since"
}

# The front door first, so that nothing new comes in; then the workers, each finishing its batch (C7); then what
# they stood on.
stop_everything() {
	local -a ingress workers
	mapfile -t ingress < <(processes_running | grep '^watchpost-ingress')
	stop_programs "${ingress[@]}"
	mapfile -t workers < <(processes_running | grep '^watchpost-' | grep -v '^watchpost-dev-broker$')
	stop_programs "${workers[@]}"
	! process_find watchpost-dev-broker || stop_programs watchpost-dev-broker
	stop_server kafka kafka/kafka.sh "$VAR/kafka"
	stop_server postgres postgres.sh "$VAR"
	rm -rf "$VAR/run" "$VAR/pids" "$VAR/dev.env"
}
