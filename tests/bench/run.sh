#!/usr/bin/env bash
# Every benchmark, one after the other: `make bench`. Tables go to standard output and to build/bench/report.md, progress to
# standard error.
#
#   BENCH=webhook|events|workers|growth|micro   only these (several: with spaces); default all
#   ROUNDS=2                             turns that the medians are over; two take about a quarter of an hour
#   WRITE=1                              put the tables into docs/performance.md as well
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly parts=${BENCH:-micro webhook events workers growth} rounds=${ROUNDS:-2}
readonly build=${WATCHPOST_BUILD:-build} report=build/bench/report.md
python=${PYTHON:-/usr/bin/python3}
write=()
[[ ${WRITE:-} != 1 ]] || write=(--write)

bench() { # HEADING SCRIPT ARGUMENT…
	printf '\n## %s\n\n' "$1"
	printf 'bench: %s (%d s so far)\n' "$1" "$SECONDS" >&2
	shift
	"$python" "tests/bench/$1" "${@:2}" "${write[@]}"
}

micro() {
	local program
	printf '\n## One step alone\n\n'
	for program in "$build"/bench/micro_*; do
		"$program"
	done | "$python" tests/bench/report.py micro "make bench BENCH=micro" "${write[@]}"
}

webhook() {
	tests/bench/peers/build.sh
	bench "Webhooks, all sharing the cores" webhook.py --rounds "$rounds" --seconds 3
	bench "Webhooks, the server on one core" webhook.py --rounds "$rounds" --seconds 3 --split
	bench "Webhooks over TLS" webhook.py --rounds "$rounds" --seconds 3 --tls
}

events() {
	tests/bench/peers/build.sh
	bench "Agents' events, all sharing the cores" events.py --rounds "$rounds" --seconds 3
}

workers() {
	bench "Workers beside COPY of the same rows" workers.py --rounds "$rounds"
	bench "Workers over a million events" workers.py --rounds 1 --events 1000000 --subscriptions 1000 --places shared \
		--section workers-million
}

growth() {
	bench "Growth" growth.py --rounds "$rounds" --seconds 3
}

run_parts() {
	local part
	echo "# Benchmarks"
	for part in $parts; do
		case $part in
		micro | webhook | events | workers | growth) "$part" ;;
		*)
			echo "bench: BENCH is webhook, events, workers, growth or micro, not $part" >&2
			return 2
			;;
		esac
	done
}

mkdir -p "${report%/*}"
run_parts | tee "$report"
printf 'bench: %d s; the tables are in %s\n' "$SECONDS" "$report" >&2
