#!/bin/sh
# A private PostgreSQL 15 cluster for development and tests.
#
#   postgres.sh start DIR PORT [--no-fsync] [NAME=VALUE …]   make the cluster where it is missing, and start it
#   postgres.sh stop DIR [fast|immediate]                    stop it; nothing happens when it does not run
#   postgres.sh roles DIR                                    give every login role of Watchpost its password (after migrate)
#   postgres.sh dsn DIR ROLE                                 print ROLE's connection string (without the password)
#   postgres.sh password-file DIR ROLE                       print where ROLE's password lies
#   postgres.sh psql DIR ROLE [ARG …]                        run psql as ROLE
#   postgres.sh home DIR                                     print where data, log and socket are
#
# Roles made here: postgres (superuser), watchpost_migrator (owns the database `watchpost`, makes roles, no superuser)
# and, by `roles`, operator (a person's role: reads schema report). All log in by SCRAM; a password is the first line of
# DIR/secrets/postgres_ROLE, mode 0600, made at random where it is missing. Listens on 127.0.0.1 and on a Unix socket,
# without TLS.
#
# Data, log and socket are in DIR/postgres. PostgreSQL refuses to run as root: root drops to the user postgres, and where
# that user cannot reach DIR (a clone below /root, say) they are in a folder of /var/tmp instead; `home` tells.
# Others run it as themselves.
#
# Parameters, statements and error texts may hold what must not be logged, so none of them reaches the server's log
# (promise 4); programs log the SQLSTATE of what failed.

set -eu
umask 077

BIN=${WATCHPOST_POSTGRES_BIN:-/usr/lib/postgresql/15/bin}
SOCKET_PATH_BYTES_MAX=107 # sun_path without its NUL
SOCKET_NAME_BYTES_MAX=16  # /.s.PGSQL.65535
START_WAIT_S=30

fail() {
	echo "postgres.sh: $*" >&2
	exit 1
}

# Runs a command as the user that may run PostgreSQL.
as_server() {
	if [ "$(id -u)" -eq 0 ]; then
		(cd / && exec runuser -u postgres -- "$@")
	else
		"$@"
	fi
}

# Where data, log and socket are.
find_home() {
	if [ -f "$dir/postgres.home" ]; then
		cat "$dir/postgres.home"
	else
		echo "$dir/postgres"
	fi
}

make_home() {
	if [ "$(id -u)" -ne 0 ]; then
		mkdir -p "$home"
		return
	fi
	id postgres >/dev/null 2>&1 || fail "there is no user postgres to drop to; install postgresql-15"
	chmod 711 "$dir"
	if [ ! -d "$home" ] && ! as_server test -x "$dir"; then
		home=$(mktemp -d /var/tmp/watchpost-postgres.XXXXXXXX)
		echo "$home" >"$dir/postgres.home"
	fi
	install -d -o postgres -m 711 "$home"
}

password_file() {
	echo "$dir/secrets/postgres_$1"
}

# Writes a role's password once; later calls keep it.
make_password() {
	mkdir -p "$dir/secrets"
	[ -s "$(password_file "$1")" ] || od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$(password_file "$1")"
}

# Every process of the server works in its data folder. Asking for the process id alone would take a dead process that
# nobody collected yet (a container without init), or a stranger with the same id, for the server.
running() {
	[ -f "$home/data/postmaster.pid" ] || return 1
	pid=$(as_server head -n 1 "$home/data/postmaster.pid")
	[ "$(as_server readlink "/proc/$pid/cwd" 2>/dev/null)" = "$home/data" ]
}

# After a crash: PostgreSQL would refuse to start for the same reason, so the lock files of the dead server go, once
# the last of its processes has ended.
forget_dead_server() {
	tries=0
	while as_server readlink /proc/[0-9]*/cwd 2>/dev/null | grep -qxF "$home/data"; do
		tries=$((tries + 1))
		[ "$tries" -le 100 ] || fail "processes of a server that ended still work in $home/data"
		sleep 0.1
	done
	as_server rm -f "$home/data/postmaster.pid" "$home"/.s.PGSQL.*
}

make_cluster() {
	make_password postgres
	# initdb reads the password as the server's user: a copy of its own, gone right after.
	copy=$(mktemp "${TMPDIR:-/tmp}/watchpost-initdb.XXXXXXXX")
	cat "$(password_file postgres)" >"$copy"
	[ "$(id -u)" -ne 0 ] || chown postgres "$copy"
	rm -rf "$home/data.new"
	if ! as_server "$BIN/initdb" -D "$home/data.new" -U postgres -A scram-sha-256 --pwfile="$copy" \
		--encoding=UTF8 --locale=C.UTF-8 --no-sync >"$dir/postgres.start.log" 2>&1; then
		rm -f "$copy"
		fail "initdb failed: $(tail -n 3 "$dir/postgres.start.log")"
	fi
	rm -f "$copy"
	echo "include_if_exists = '../watchpost.conf'" | as_server tee -a "$home/data.new/postgresql.conf" >/dev/null
	as_server mv "$home/data.new" "$home/data"
}

write_settings() {
	cat <<-SETTINGS
		# Written by ops/dev/postgres.sh at every start.
		listen_addresses = '127.0.0.1'
		port = $port
		unix_socket_directories = '$home'
		unix_socket_permissions = 0777
		password_encryption = scram-sha-256
		max_connections = 100
		deadlock_timeout = 100ms
		timezone = 'UTC'
		log_timezone = 'UTC'
		fsync = $fsync
		synchronous_commit = $fsync
		full_page_writes = $fsync
		# No statement, parameter or error text in the log: from LOG upwards only (start, stop, checkpoints, FATAL).
		log_min_messages = log
		log_min_error_statement = panic
		log_statement = none
		log_min_duration_statement = -1
		log_parameter_max_length = 0
		log_parameter_max_length_on_error = 0
		log_error_verbosity = terse
		log_line_prefix = '%m [%p] %q%u@%d '
		log_autovacuum_min_duration = -1
		track_activity_query_size = 100
	SETTINGS
	for setting in "$@"; do
		case $setting in
		*=*) echo "${setting%%=*} = '${setting#*=}'" ;;
		*) fail "not NAME=VALUE: $setting" ;;
		esac
	done
}

run_psql() {
	role=$1
	shift
	[ -s "$(password_file "$role")" ] || fail "role $role has no password in $dir/secrets"
	(
		PGPASSWORD=$(cat "$(password_file "$role")")
		export PGPASSWORD
		exec psql -X -q -v ON_ERROR_STOP=1 -h "$home" -p "$(cat "$dir/postgres.port")" -U "$role" -d watchpost "$@"
	)
}

# The statement comes on standard input, so that no password shows in a list of processes.
as_superuser() {
	PGPASSWORD=$(cat "$(password_file postgres)") \
		psql -X -q -v ON_ERROR_STOP=1 -h "$home" -p "$(cat "$dir/postgres.port")" -U postgres -d "$1" -At
}

make_database() {
	make_password watchpost_migrator
	if [ "$(echo "select count(*) from pg_roles where rolname = 'watchpost_migrator'" | as_superuser postgres)" = 0 ]; then
		echo "create role watchpost_migrator login createrole noinherit
			password '$(cat "$(password_file watchpost_migrator)")'" | as_superuser postgres
	fi
	if [ "$(echo "select count(*) from pg_database where datname = 'watchpost'" | as_superuser postgres)" = 0 ]; then
		echo "create database watchpost owner watchpost_migrator" | as_superuser postgres
	fi
}

start() {
	make_home
	if running; then
		[ "$(cat "$dir/postgres.port")" = "$port" ] || fail "it runs already, on port $(cat "$dir/postgres.port")"
		return 0
	fi
	[ "${#home}" -le $((SOCKET_PATH_BYTES_MAX - SOCKET_NAME_BYTES_MAX)) ] || fail "the path is too long for a Unix socket: $home"
	[ -d "$home/data" ] || make_cluster
	forget_dead_server
	echo "$port" >"$dir/postgres.port"
	write_settings "$@" | as_server tee "$home/watchpost.conf" >/dev/null
	if ! as_server "$BIN/pg_ctl" -D "$home/data" -l "$home/postgres.log" -t "$START_WAIT_S" -w start \
		>"$dir/postgres.start.log" 2>&1; then
		as_server tail -n 5 "$home/postgres.log" >&2 || true
		fail "PostgreSQL did not start; its log is $home/postgres.log"
	fi
	make_database
}

stop() {
	[ -d "$home/data" ] && running || return 0
	as_server "$BIN/pg_ctl" -D "$home/data" -t "$START_WAIT_S" -m "${1:-fast}" -w stop >"$dir/postgres.start.log" 2>&1 ||
		fail "PostgreSQL did not stop: $(cat "$dir/postgres.start.log")"
}

roles() {
	make_password operator
	if [ "$(echo "select count(*) from pg_roles where rolname = 'operator'" | as_superuser postgres)" = 0 ]; then
		echo "create role operator login inherit in role watchpost_report" | as_superuser postgres
	fi
	echo "alter role operator set default_transaction_read_only = on" | as_superuser postgres
	list=$(echo "select rolname from pg_roles where rolcanlogin and rolname <> 'watchpost_migrator'
		and (rolname like 'watchpost\\_%' or rolname = 'operator')" | as_superuser postgres)
	for role in $list; do
		make_password "$role"
		echo "alter role $role password '$(cat "$(password_file "$role")")';"
	done | as_superuser postgres
}

[ $# -ge 2 ] || fail "usage: postgres.sh start DIR PORT | stop DIR | roles DIR | dsn DIR ROLE | psql DIR ROLE …"
verb=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd -P)
shift 2
home=$(find_home)

case $home in
*[,\'\"]*) fail "a path with quotes or commas cannot hold the socket: $home" ;;
esac

case $verb in
start)
	[ $# -ge 1 ] || fail "start needs a port"
	port=$1
	shift
	fsync=on
	if [ "${1:-}" = --no-fsync ]; then
		fsync=off
		shift
	fi
	start "$@"
	;;
stop) stop "$@" ;;
roles) roles ;;
home) echo "$home" ;;
dsn) echo "host=$home port=$(cat "$dir/postgres.port") dbname=watchpost user=$1" ;;
password-file) password_file "$1" ;;
psql) run_psql "$@" ;;
*) fail "unknown verb $verb" ;;
esac
