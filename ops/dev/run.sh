#!/usr/bin/env bash
# Starts the whole system in development mode: certificates, PostgreSQL, a broker, topics, migrations, every program.
#
#   PORT=8443 ADMIN_PORT=9443 HTTP_PORT=8080   the ingress' ports; node n of NODES takes PORT + n - 1 and ADMIN_PORT + n - 1
#   NODES=1          how many ingress processes
#   BROKER=kafka     or embedded: needs no Java and keeps nothing
#   VAR=var          everything that is kept
#   DETACH=1         return when all is ready; `make stop` ends it
#   WATCHPOST_SET_…  settings, handed to every program
#
# In the foreground Ctrl-C stops all of it, and so does the end of any part.
set -euo pipefail
# shellcheck source=ops/dev/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

PORT=${PORT:-8443}
ADMIN_PORT=${ADMIN_PORT:-9443}
HTTP_PORT=${HTTP_PORT:-8080}
NODES=${NODES:-1}
BROKER=${BROKER:-kafka}
NODES_MAX=16
READY_DEADLINE_S=30

STARTED_MS=$(now_ms)
CONF=$VAR/watchpost.conf
WORKERS=(watchpost-subscription-sync watchpost-audit-log watchpost-outbox-relay watchpost-revocation-fanout)

# --- before anything is started -------------------------------------------------------------------

usage_error() {
	complain "$@"
	exit 2
}

require_number() { # NAME VALUE MIN MAX
	[[ $2 =~ ^[0-9]{1,5}$ ]] && ((10#$2 >= $3 && 10#$2 <= $4)) && return
	usage_error "$1=$2: a number from $3 to $4 is expected"
}

check_options() {
	local name
	for name in PORT ADMIN_PORT HTTP_PORT; do
		require_number "$name" "${!name}" 1 65000
	done
	require_number NODES "$NODES" 1 "$NODES_MAX"
	[[ $BROKER == kafka || $BROKER == embedded ]] || usage_error "BROKER=$BROKER: kafka or embedded is expected"
	local program
	for program in watchpost-ingress "${WORKERS[@]}" watchpostctl watchpost-dev-broker; do
		[[ -x $BIN/$program ]] || fail "$BIN/$program is not built: run make first"
	done
}

refuse_second() {
	mkdir -p "$VAR"
	chmod 0711 "$VAR" # PostgreSQL's own user, where root starts it, passes through
	exec 9>"$VAR/run.lock"
	local running
	running=$(processes_running | paste -sd ' ')
	if [[ -n $running ]] || ! flock -n 9; then
		fail "already running in $VAR: ${running:-it is starting}
Stop it:                     make stop$(var_word)
Or start another beside it:  make run VAR=var2 PORT=8543 ADMIN_PORT=9543 HTTP_PORT=8180"
	fi
	rm -rf "$VAR/run" "$VAR/pids" "$VAR/dev.env"
}

check_port() { # PORT VARIABLE
	[[ -z ${SEEN_PORTS[$1]:-} ]] || usage_error "port $1 is given twice, by ${SEEN_PORTS[$1]} and $2"
	SEEN_PORTS[$1]=$2
	port_free "$1" || fail "port $1 is in use ($(port_user "$1")): end that, or choose another with $2="
}

check_ports() {
	local -A SEEN_PORTS=()
	local node
	for ((node = 0; node < NODES; node++)); do
		check_port $((PORT + node)) PORT
		check_port $((ADMIN_PORT + node)) ADMIN_PORT
	done
	check_port "$HTTP_PORT" HTTP_PORT
}

# --- what is made once and kept -----------------------------------------------------------------------

# Ports nobody needs to know by heart: kept, so that a second start finds its own again, and chosen
# anew only when somebody else has taken one.
admin_port_name() { # WORKER: watchpost-audit-log is AUDIT_LOG_ADMIN_PORT
	local name=${1#watchpost-}
	name=${name//-/_}
	printf '%s_ADMIN_PORT' "${name^^}"
}

admin_port_of() { # WORKER
	local name
	name=$(admin_port_name "$1")
	printf '%s' "${!name}"
}

choose_ports() {
	local name program port file=$VAR/ports names=(POSTGRES_PORT KAFKA_PORT KAFKA_CONTROLLER_PORT)
	touch "$file"
	# shellcheck source=/dev/null
	. "$file"
	for program in "${WORKERS[@]}"; do
		names+=("$(admin_port_name "$program")")
	done
	for name in "${names[@]}"; do
		port=${!name:-}
		if [[ -z $port ]] || ! port_free "$port"; then
			port=$(free_port)
		fi
		declare -g "$name=$port"
		printf '%s=%s\n' "$name" "$port"
	done >"$file.new"
	mv "$file.new" "$file"
}

postgres_dsn() { # ROLE
	printf 'host=127.0.0.1 port=%s dbname=watchpost user=%s' "$POSTGRES_PORT" "$1"
}

password_file() { printf '%s/secrets/postgres_%s' "$VAR" "$1"; } # ROLE

# Where watchpostctl status finds the programs.
admin_urls() {
	local node
	for ((node = 0; node < NODES; node++)); do
		printf '%s=http://127.0.0.1:%d,' "$(node_name "$node")" $((ADMIN_PORT + node))
	done
	local program comma=""
	for program in "${WORKERS[@]}"; do
		printf '%s%s=http://127.0.0.1:%d' "$comma" "$program" "$(admin_port_of "$program")"
		comma=,
	done
}

# node_name N: watchpost-ingress, watchpost-ingress-2 …
node_name() { (($1 == 0)) && printf 'watchpost-ingress' || printf 'watchpost-ingress-%d' $(($1 + 1)); }

write_config() {
	if [[ ! -s $CONF ]]; then
		cat >"$CONF" <<-END
			# A development system's settings, made by the first make run. Change what you like: only the three lines
			# with ports are kept up to date. Every setting: watchpost-ingress --sample-config
			environment = development
			kafka_brokers =
			postgres_dsn =
			admin_urls =
			postgres_password_file = $(password_file watchpost_ctl)
			tls_certificate_file = $VAR/tls/server.pem
			tls_key_file = $VAR/tls/server.key
			stripe_secret_files = $VAR/secrets/stripe_webhook
			agent_rate_per_s = 0
			agent_address_rate_per_s = 0
			unauthorized_rate_per_s = 0
			seal_key_file = $VAR/secrets/seal.key
			seal_public_key_file = $VAR/secrets/seal.pub
		END
	fi
	sed -i -E -e "s|^kafka_brokers =.*|kafka_brokers = 127.0.0.1:$KAFKA_PORT|" \
		-e "s|^postgres_dsn =.*|postgres_dsn = $(postgres_dsn watchpost_ctl)|" \
		-e "s|^admin_urls =.*|admin_urls = $(admin_urls)|" "$CONF"
}

# A wrong setting is told before the first server starts.
check_config() {
	local program output
	for program in watchpost-ingress "${WORKERS[@]}" watchpostctl; do
		output=$("$BIN/$program" --config "$CONF" --check-config 2>&1) || fail "$program refuses the configuration: $output"
	done
}

prepare() {
	local since made
	since=$(now_ms)
	mkdir -p "$VAR/log" "$VAR/run"
	made=$("$ROOT/ops/dev/credentials.sh" "$VAR")
	choose_ports
	write_config
	check_config
	step "keys, certificates, settings" ready "$since" "${made:+new}"
}

# --- the parts ----------------------------------------------------------------------------------------

# quietly NAME COMMAND…: its output is shown only when it fails.
quietly() {
	local name=$1 output
	shift
	output=$("$@" 2>&1 9>&-) || fail "$name failed: $output"
}

start_database() {
	local since postgres=$ROOT/ops/dev/postgres.sh
	since=$(now_ms)
	quietly PostgreSQL "$postgres" start "$VAR" "$POSTGRES_PORT"
	process_record postgres "$(head -n 1 "$("$postgres" home "$VAR")/data/postmaster.pid")"
	step postgres ready "$since" "127.0.0.1:$POSTGRES_PORT"
	since=$(now_ms)
	quietly "watchpostctl migrate" "$CTL" --config "$CONF" --postgres-dsn "$(postgres_dsn watchpost_migrator)" \
		--postgres-password-file "$(password_file watchpost_migrator)" migrate --dir "$ROOT/migrations"
	quietly "setting passwords" "$postgres" roles "$VAR"
	step migrations applied "$since"
}

start_kafka() {
	quietly "Apache Kafka" "$ROOT/ops/dev/kafka/kafka.sh" start "$VAR/kafka" "$KAFKA_PORT" "$KAFKA_CONTROLLER_PORT"
	process_record kafka "$(<"$VAR/kafka/1/pid")"
}

ready_file_or_ended() { [[ -s $2 ]] || process_gone "$1"; } # NAME FILE

start_embedded() {
	local name=watchpost-dev-broker ready=$VAR/broker.ready
	rm -f "$ready"
	process_start "$name" "$VAR/log/$name.log" "$BIN/$name" --port "$KAFKA_PORT" --bootstrap-file "$ready"
	wait_until "$READY_DEADLINE_S" ready_file_or_ended "$name" "$ready" && process_find "$name" && return
	fail "the embedded broker is not ready: $(tail -n 3 "$VAR/log/$name.log")"
}

start_topics() {
	local since
	since=$(now_ms)
	"start_$BROKER"
	step "$BROKER broker" ready "$since" "127.0.0.1:$KAFKA_PORT"
	[[ $BROKER == kafka ]] || return 0 # the embedded one makes its topics itself
	since=$(now_ms)
	quietly "watchpostctl topics create" "$CTL" --config "$CONF" topics create
	step topics ready "$since"
}

# Both at once; the first failure ends the start.
start_servers() {
	start_database &
	start_topics &
	wait -n || exit 1
	wait -n || exit 1
}

start_program() { # NAME PROGRAM ROLE ADMIN_PORT FLAG…
	local name=$1 program=$2 role=$3 admin=$4
	shift 4
	process_start "$name" "$VAR/log/$name.log" "$BIN/$program" --config "$CONF" --log-file "$VAR/log/$name.log" \
		--postgres-dsn "$(postgres_dsn "$role")" --postgres-password-file "$(password_file "$role")" \
		--admin-port "$admin" "$@"
}

start_programs() {
	local node redirect=$HTTP_PORT
	for ((node = 0; node < NODES; node++)); do
		start_program "$(node_name "$node")" watchpost-ingress watchpost_ingress $((ADMIN_PORT + node)) \
			--listen-port $((PORT + node)) --redirect-port "$redirect"
		redirect=0
	done
	local program
	for program in "${WORKERS[@]}"; do
		start_program "$program" "$program" "${program//-/_}" "$(admin_port_of "$program")"
	done
}

# Ready, or ended: either way there is nothing more to wait for.
ready_or_ended() { # NAME ADMIN_PORT
	curl -fs -m 1 -o /dev/null "http://127.0.0.1:$2/readyz" || process_gone "$1"
}

await_ready() { # NAME ADMIN_PORT SINCE [DETAIL]
	if ! wait_until "$READY_DEADLINE_S" ready_or_ended "$1" "$2"; then
		fail "$1 is not ready after $READY_DEADLINE_S s: $(curl -s -m 1 "http://127.0.0.1:$2/readyz")
$(tail -n 5 "$VAR/log/$1.log")"
	fi
	process_find "$1" || fail "$1 ended while starting; its last lines:
$(tail -n 5 "$VAR/log/$1.log")"
	step "$1" ready "$3" "${4:-}"
}

await_programs() {
	local since=$1 node
	for ((node = 0; node < NODES; node++)); do
		await_ready "$(node_name "$node")" $((ADMIN_PORT + node)) "$since" "https://localhost:$((PORT + node))"
	done
	local program
	for program in "${WORKERS[@]}"; do
		await_ready "$program" "$(admin_port_of "$program")" "$since"
	done
}

# One account with one connected agent, made once: its token lies in a file of its own (mode 0600), as everybody else's
# only at the agent's.
make_agent() {
	local since account token=$VAR/secrets/agent_token
	[[ ! -s $token ]] || return 0
	since=$(now_ms)
	account=$("$CTL" --config "$CONF" account create Development --json 9>&-) || fail "no account could be made"
	account=$(sed -nE 's/.*"account_id": ?"([^"]+)".*/\1/p' <<<"$account")
	printf '%s\n' "$account" >"$VAR/secrets/account"
	quietly "watchpostctl agent connect" "$CTL" --config "$CONF" agent connect --account "$account" \
		--name "Development agent" --out "$token"
	step "account and agent" connected "$since" "new"
}

# --- what others read -----------------------------------------------------------------------------------

write_pids() {
	local name
	while IFS= read -r name; do
		process_find "$name" || continue
		printf '%s %s\n' "${name%%-[0-9]*}" "$PID"
	done < <(processes_running | grep -vx run.sh) >"$VAR/pids"
}

# In shell syntax, and plain where nothing needs quotes, for readers that are no shell.
put() { # NAME VALUE
	if [[ $2 =~ ^[A-Za-z0-9_.,:/@%+-]+$ ]]; then
		printf '%s=%s\n' "$1" "$2"
	else
		printf '%s=%q\n' "$1" "$2"
	fi
}

dev_env() { # STRIPE_SECRET OPERATOR_PASSWORD TOKEN
	local node urls=""
	for ((node = 0; node < NODES; node++)); do
		urls+=,https://localhost:$((PORT + node))
	done
	put WATCHPOST_URL "https://localhost:$PORT"
	put WATCHPOST_URLS "${urls#,}"
	put WATCHPOST_ADMIN_URL "http://127.0.0.1:$ADMIN_PORT"
	put WATCHPOST_CA "$VAR/tls/ca.pem"
	put WATCHPOST_STRIPE_SECRET "$1"
	put WATCHPOST_DSN "postgresql://operator:$2@127.0.0.1:$POSTGRES_PORT/watchpost"
	put WATCHPOST_KAFKA "127.0.0.1:$KAFKA_PORT"
	put WATCHPOST_LOG_DIR "$VAR/log"
	put WATCHPOST_TOKEN "$3"
	put WATCHPOST_PIDS "$VAR/pids"
}

# Written last and whole: who finds it finds a system that is ready.
write_dev_env() {
	local stripe password token
	stripe=$(<"$VAR/secrets/stripe_webhook")
	password=$(<"$(password_file operator)")
	token=$(<"$VAR/secrets/agent_token")
	dev_env "$stripe" "$password" "$token" >"$VAR/dev.env.new"
	mv "$VAR/dev.env.new" "$VAR/dev.env"
}

print_welcome() {
	local var
	var=$(short_path "$VAR")
	say "
Ready after $(seconds_since "$STARTED_MS").
$(printf '  %-32s %s\n' \
		"https://localhost:$PORT" "the front door; Stripe's events go to /webhooks/stripe, agents' to /v1/events" \
		"http://127.0.0.1:$ADMIN_PORT/readyz" "ready, with reasons; /metrics beside it" \
		"$var/dev.env" "addresses and secrets for scripts" \
		"$var/log/" "every program's log")"
	[[ $BROKER == kafka ]] || say "  The embedded broker keeps nothing: when it stops, every topic is gone. For anything kept use BROKER=kafka."
	say "
Try, in another terminal:
  make try$(var_word)
  . $var/dev.env; curl --cacert $var/tls/ca.pem -H \"Authorization: Bearer \$WATCHPOST_TOKEN\" https://localhost:$PORT/v1/agent
  $(short_path "$CTL") --config $var/watchpost.conf status
"
}

# --- running ----------------------------------------------------------------------------------------------

# Names of parts that were started and no longer run.
ended_parts() {
	local file
	for file in "$VAR"/run/*; do
		process_find "${file##*/}" || say "${file##*/}"
	done
}

# Follows the logs until a part ends by itself.
watch_system() {
	local ended=
	say "Ctrl-C stops everything. The log:"
	tail --pid=$$ -q -n 0 -F "$VAR"/log/watchpost-*.log 2>/dev/null &
	until ended=$(ended_parts) && [[ -n $ended ]]; do
		sleep 0.5
	done
	for ended in $ended; do
		complain "$ended ended by itself; everything is stopped. Its last lines:"
		tail -n 5 "$VAR/log/$ended.log" >&2
	done
	exit 1
}

start_system() {
	say "Watchpost, development, in $(short_path "$VAR")/"
	prepare
	start_servers
	local since
	since=$(now_ms)
	start_programs
	await_programs "$since"
	make_agent
	write_pids
	write_dev_env
	print_welcome
}

# attended COMMAND: in a process group of its own, while this shell does nothing but wait. A signal that arrives in the
# middle of a command substitution can upset bash (5.2), and killing the group ends whatever was under way.
attended() {
	set -m
	"$@" &
	GROUP=$!
	set +m
	wait "$GROUP" || exit 1
}

# However run.sh ends, unless it hands over to `make stop`.
on_exit() {
	local status=$?
	trap - EXIT
	trap '' INT TERM HUP
	if [[ -n $GROUP ]]; then
		kill -- "-$GROUP" 2>/dev/null || true
		wait "$GROUP" 2>/dev/null || true
	fi
	say "Stopping."
	stop_everything
	exit "$status"
}

main() {
	check_options
	refuse_second
	check_ports
	process_record run.sh $$
	GROUP=
	trap on_exit EXIT
	trap 'exit 0' INT TERM HUP
	attended start_system
	if [[ -n ${DETACH:-} && ${DETACH:-} != 0 ]]; then
		trap - EXIT INT TERM HUP
		rm -f "$VAR/run/run.sh"
		return
	fi
	attended watch_system
}

main
