#!/usr/bin/env bash
# Builds the three peers of the webhook benchmark into build/bench.
set -euo pipefail
cd "$(dirname "$0")"
out=../../../build/bench
mkdir -p "$out"
out=$(cd "$out" && pwd)
echo "bench: building the C peer"
"${CC:-cc}" -O2 -o "$out/peer-evhttp" evhttp/main.c -levent -lrdkafka -ljansson -lcrypto
echo "bench: building the Go peer"
(cd go && go build -o "$out/peer-go" .)
if [ ! -d node/node_modules/fastify ]; then
    echo "bench: installing the Node peer (its Kafka client compiles for about a minute)"
    (cd node && CKJS_LINKING=dynamic npm ci --foreground-scripts >"$out/npm.log" 2>&1) ||
        { echo "bench: npm ci failed; see $out/npm.log" >&2; exit 1; }
fi
