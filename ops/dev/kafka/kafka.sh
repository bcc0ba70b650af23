#!/usr/bin/env bash
# Apache Kafka for development and tests: see `kafka.sh --help`.
set -euo pipefail

readonly kafka_version=4.1.1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly cache=${KAFKA_JARS:-${XDG_CACHE_HOME:-$HOME/.cache}/watchpost/kafka-$kafka_version}

# Small and quick to start; and, for measurements, with the optimising compiler.
readonly dev_flags='-Xms128m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1'
readonly bench_flags='-Xms512m -Xmx1g -XX:+UseSerialGC'

readonly ready_seconds_max=60
readonly stop_seconds_max=20

usage() {
	cat <<EOF
Apache Kafka $kafka_version for development and tests, on 127.0.0.1 only.

  kafka.sh fetch
      Downloads the jars through Maven (pom.xml beside this script, 54 MB) unless they are there.
  kafka.sh start DIR PORT [CONTROLLER_PORT]
      One broker in DIR; returns when it answers a metadata request. CONTROLLER_PORT: PORT + 1.
  kafka.sh start-cluster DIR PORT PORT PORT CONTROLLER_PORT CONTROLLER_PORT CONTROLLER_PORT
      Three brokers (replication 3, min.insync.replicas 2); returns when all three are known.
  kafka.sh start-broker DIR N
      Starts broker N of DIR again, as it was, after it was stopped or killed; waits until it answers.
  kafka.sh stop DIR [N]
      Stops all brokers of DIR, or broker N.
  kafka.sh tool CLASS [ARGUMENT...]
      Runs one of Kafka's tools, such as org.apache.kafka.tools.TopicCommand.

Broker N has the folder DIR/N: server.properties, data/, log and, while it runs, pid. Stopped brokers
keep their data; starting them on other ports is fine.

Environment:
  KAFKA_JARS        folder of the jars; default \$XDG_CACHE_HOME/watchpost/kafka-$kafka_version
                    (here: $cache)
  KAFKA_PROFILE     dev (default: $dev_flags)
                    or bench ($bench_flags)
  KAFKA_JAVA_FLAGS  instead of a profile's flags
EOF
}

fail() {
	printf 'kafka.sh: %s\n' "$*" >&2
	exit 1
}

# --- the jars --------------------------------------------------------------------------------------

# What a complete download looks like: which pom it was made from and how many jars it has.
expected_stamp() {
	printf '%s %s\n' "$(sha256sum <"$here/pom.xml" | cut -d' ' -f1)" "$(find "$1" -name '*.jar' | wc -l)"
}

jars_complete() {
	[[ -f $cache/complete && $(<"$cache/complete") == "$(expected_stamp "$cache")" ]]
}

fetch() {
	jars_complete && return 0
	mkdir -p "$(dirname "$cache")"
	(
		flock 9 # two fetches at once: the second finds the work done
		jars_complete && exit 0
		echo "fetching Apache Kafka $kafka_version through Maven into $cache" >&2
		fresh=$(mktemp -d "$cache.XXXXXX")
		trap 'rm -rf "$fresh"' EXIT
		mvn -q -B -Dstyle.color=never -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$fresh" >&2 ||
			fail "Maven could not fetch the jars of $here/pom.xml"
		expected_stamp "$fresh" >"$fresh/complete"
		rm -rf "$cache"
		chmod 755 "$fresh"
		mv "$fresh" "$cache"
	) 9>"$cache.lock"
}

java_flags() {
	case ${KAFKA_PROFILE:-dev} in
	dev) printf '%s' "${KAFKA_JAVA_FLAGS:-$dev_flags}" ;;
	bench) printf '%s' "${KAFKA_JAVA_FLAGS:-$bench_flags}" ;;
	*) fail "KAFKA_PROFILE is dev or bench, not ${KAFKA_PROFILE}" ;;
	esac
}

tool() {
	fetch
	java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
		-cp "$cache/*" "$@"
}

# --- one broker's folder ---------------------------------------------------------------------------

# A cluster id as Kafka makes them: 16 random bytes in base64url. Not beginning with '-', which tools
# would take for an option.
new_cluster_id() {
	local id
	while id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '='); [[ $id == -* ]]; do :; done
	printf '%s' "$id"
}

# write_properties DIR N BROKERS PORT VOTERS CONTROLLER_PORT
write_properties() {
	local dir=$1 n=$2 brokers=$3 port=$4 voters=$5 controller_port=$6 in_sync=1
	[[ $brokers == 3 ]] && in_sync=2
	mkdir -p "$dir/$n"
	cat >"$dir/$n/server.properties" <<EOF
process.roles=broker,controller
node.id=$n
controller.quorum.voters=$voters
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller_port
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=$dir/$n/data
auto.create.topics.enable=false
default.replication.factor=$brokers
min.insync.replicas=$in_sync
offsets.topic.replication.factor=$brokers
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=$brokers
transaction.state.log.min.isr=$in_sync
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=$brokers
share.coordinator.state.topic.min.isr=$in_sync
group.initial.rebalance.delay.ms=0
# A killed broker is noticed in 3 s instead of 9.
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
# Small: the cleaner's buffer alone is 128 MB by default.
log.cleaner.dedupe.buffer.size=4194304
num.network.threads=2
num.io.threads=4
EOF
}

is_formatted() {
	[[ -f $1/data/meta.properties ]]
}

format() {
	local dir=$1 n=$2 id=$3
	is_formatted "$dir/$n" && return 0
	tool kafka.tools.StorageTool format -t "$id" -c "$dir/$n/server.properties" >"$dir/$n/format.log" 2>&1 || {
		cat "$dir/$n/format.log" >&2
		fail "could not format $dir/$n/data"
	}
}

# The process id of broker N when it runs. A recycled number is told apart by the command line.
running_pid() {
	local folder=$1 pid
	[[ -f $folder/pid ]] || return 1
	pid=$(<"$folder/pid")
	[[ -r /proc/$pid/cmdline ]] && tr '\0' '\n' <"/proc/$pid/cmdline" | grep -qxF "$folder/server.properties" || return 1
	printf '%s' "$pid"
}

launch() {
	local folder=$1 flags
	running_pid "$folder" >/dev/null && return 0
	read -ra flags <<<"$(java_flags)"
	setsid nohup java "${flags[@]}" -Djava.awt.headless=true -Dkafka.logs.dir="$folder" \
		-Dorg.slf4j.simpleLogger.defaultLogLevel=warn -Dorg.slf4j.simpleLogger.showDateTime=true \
		-cp "$cache/*" kafka.Kafka "$folder/server.properties" >>"$folder/log" 2>&1 </dev/null 9>&- &
	printf '%s\n' $! >"$folder/pid"
	# Until it has become Java it is not known as the broker, and would be taken for ended.
	while kill -0 $! 2>/dev/null && ! running_pid "$folder" >/dev/null; do sleep 0.01; done
}

# --- readiness -------------------------------------------------------------------------------------

# Requests of Kafka's protocol, their length in front; correlation id 1, client id "sh".
# Metadata, version 1, about no topic.
readonly metadata_request='\x00\x00\x00\x10\x00\x03\x00\x01\x00\x00\x00\x01\x00\x02sh\x00\x00\x00\x00'
# InitProducerId, version 0, no transaction, time-out 60000 ms.
readonly producer_request='\x00\x00\x00\x12\x00\x16\x00\x00\x00\x00\x00\x01\x00\x02sh\xff\xff\x00\x00\xea\x60'

# ask PORT REQUEST BYTES: the first bytes of the answer, as numbers; fails when there is none.
ask() {
	exec 2>/dev/null # refused while it starts
	exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1
	printf '%b' "$2" >&3
	timeout 2 od -An -v -tu1 -w"$3" -N"$3" <&3
}

# The number of brokers that the one at PORT knows of. An open port is not enough: a broker listens
# before it has caught up with the controller.
brokers_known() {
	local answer
	read -ra answer < <(ask "$1" "$metadata_request" 12)
	((${#answer[@]} == 12)) || return 1
	printf '%s' "${answer[11]}"
}

# Does the broker at PORT give out producer ids? It has to get them from the controller first, and
# clients that meet it before wait half a second for their next try.
takes_producers() {
	local answer
	read -ra answer < <(ask "$1" "$producer_request" 14)
	((${#answer[@]} == 14 && answer[12] == 0 && answer[13] == 0))
}

wait_ready() {
	local folder=$1 brokers=$2 port known deadline=$((SECONDS + ready_seconds_max))
	port=$(sed -n 's/^advertised.listeners=.*://p' "$folder/server.properties")
	while ((SECONDS < deadline)); do
		known=$(brokers_known "$port") && ((known >= brokers)) && takes_producers "$port" && return 0
		running_pid "$folder" >/dev/null || break
		sleep 0.05
	done
	tail -n 20 "$folder/log" >&2
	fail "the broker in $folder did not get ready; its log is $folder/log"
}

# --- verbs -----------------------------------------------------------------------------------------

start() {
	(($# == 2 || $# == 3)) || fail "start DIR PORT [CONTROLLER_PORT]"
	local dir port=$2 controller_port=${3:-$(($2 + 1))}
	fetch
	mkdir -p "$1"
	dir=$(cd "$1" && pwd)
	write_properties "$dir" 1 1 "$port" "1@127.0.0.1:$controller_port" "$controller_port"
	format "$dir" 1 "$(new_cluster_id)"
	launch "$dir/1"
	wait_ready "$dir/1" 1
}

start_cluster() {
	(($# == 7)) || fail "start-cluster DIR PORT PORT PORT CONTROLLER_PORT CONTROLLER_PORT CONTROLLER_PORT"
	local dir id n ports=("${@:2:3}") controllers=("${@:5:3}") voters
	fetch
	mkdir -p "$1"
	dir=$(cd "$1" && pwd)
	voters="1@127.0.0.1:${controllers[0]},2@127.0.0.1:${controllers[1]},3@127.0.0.1:${controllers[2]}"
	id=$(new_cluster_id)
	local formats=()
	for n in 1 2 3; do
		write_properties "$dir" $n 3 "${ports[n - 1]}" "$voters" "${controllers[n - 1]}"
		format "$dir" $n "$id" &
		formats+=($!)
	done
	for n in "${formats[@]}"; do wait "$n"; done
	for n in 1 2 3; do launch "$dir/$n"; done
	for n in 1 2 3; do wait_ready "$dir/$n" 3; done
}

start_broker() {
	(($# == 2)) || fail "start-broker DIR N"
	local dir
	dir=$(cd "$1" && pwd)
	[[ -f $dir/$2/server.properties ]] || fail "$1 has no broker $2"
	fetch
	launch "$dir/$2"
	wait_ready "$dir/$2" 1
}

stop() {
	(($# == 1 || $# == 2)) || fail "stop DIR [N]"
	[[ -d $1 ]] || return 0
	local dir folder pid deadline
	dir=$(cd "$1" && pwd)
	for folder in "$dir"/${2:-[0-9]}; do
		if pid=$(running_pid "$folder"); then kill -TERM "$pid" 2>/dev/null || true; fi
	done
	deadline=$((SECONDS + stop_seconds_max))
	for folder in "$dir"/${2:-[0-9]}; do
		while pid=$(running_pid "$folder"); do
			((SECONDS < deadline)) || kill -KILL "$pid" 2>/dev/null || true
			sleep 0.05
		done
		rm -f "$folder/pid"
	done
}

main() {
	(($# > 0)) || {
		usage >&2
		exit 2
	}
	local verb=$1
	shift
	case $verb in
	fetch | start | stop | tool) "$verb" "$@" ;;
	start-cluster) start_cluster "$@" ;;
	start-broker) start_broker "$@" ;;
	-h | --help | help) usage ;;
	*)
		usage >&2
		exit 2
		;;
	esac
}

main "$@"
