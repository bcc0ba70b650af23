#!/usr/bin/env bash
# Builds the three peers of the webhook benchmark into build/bench. Says first what is missing.
set -euo pipefail
cd "$(dirname "$0")"

readonly go_min=1.21 node_min=20
# pkg-config's names. The first four are for the Node.js Kafka client, which is compiled here.
readonly libraries=(zlib libzstd libsasl2 RapidJSON libevent rdkafka jansson libcrypto)

# version_at_least HAVE WANT
version_at_least() { [[ $(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]; }

check_tool() { # TOOL MINIMUM VERSION
	version_at_least "${3:-0}" "$2" || missing+=("$1 $2 or newer (found: ${3:-none})")
}

check() {
	local library missing=()
	check_tool go $go_min "$(go version 2>/dev/null | sed -nE 's/.* go([0-9.]+) .*/\1/p')"
	check_tool node $node_min "$(node --version 2>/dev/null | tr -d v)"
	check_tool npm 0.1 "$(npm --version 2>/dev/null)"
	check_tool nginx 1 "$(PATH=$PATH:/usr/sbin nginx -v 2>&1 | sed -nE 's|.*nginx/([0-9.]+).*|\1|p')"
	command -v "${CXX:-g++}" >/dev/null || missing+=("a C++ compiler")
	for library in "${libraries[@]}"; do
		pkg-config --exists "$library" || missing+=("the library $library with its headers")
	done
	((${#missing[@]} > 0)) || return 0
	printf 'bench: missing for the peers: %s\n' "${missing[@]}" >&2
	echo "bench: \`make setup-bench\` installs what they need" >&2
	exit 1
}

check
out=../../../build/bench
mkdir -p "$out"
out=$(cd "$out" && pwd)
echo "bench: building the C peer" >&2
"${CC:-cc}" -O2 -o "$out/peer-evhttp" evhttp/main.c -levent -lrdkafka -ljansson -lcrypto
echo "bench: building the Go peer" >&2
(cd go && go build -o "$out/peer-go" .)
if [[ ! node/node_modules/.package-lock.json -nt node/package-lock.json ]]; then
	echo "bench: installing the Node.js peer (its Kafka client compiles for a minute or three)" >&2
	(cd node && CKJS_LINKING=dynamic npm ci --foreground-scripts >"$out/npm.log" 2>&1) || {
		tail -n 20 "$out/npm.log" >&2
		echo "bench: npm ci failed; its log is $out/npm.log" >&2
		exit 1
	}
	touch node/node_modules/.package-lock.json
fi
