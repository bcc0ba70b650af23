#!/usr/bin/env bash
# Starts docker-compose.yml: makes certificates and secrets under var/compose/ once, then hands over to docker compose.
#
#   ops/docker/up.sh [ARGUMENTS of docker compose up …]
#   ops/docker/up.sh --prepare     only make the files
#
# Containers read the secrets as the user who owns them: the caller, or 10001 where root calls.
set -euo pipefail
umask 077
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

DIR=${COMPOSE_VAR:-var/compose}
USER_OF_ROOT=10001

# A cluster id of this installation's own: the offset rows carry it (C8), so two must never share one.
make_cluster_id() {
	local id
	while id=$(openssl rand -base64 16 | tr '+/' '-_' | tr -d '='); [[ $id == -* ]]; do :; done
	printf '%s\n' "$id"
}

make_once() { # FILE COMMAND…
	local file=$1
	shift
	[[ -s $file ]] || "$@" >"$file"
}

prepare() {
	ops/dev/credentials.sh "$DIR" >/dev/null
	make_once "$DIR/secrets/postgres_postgres" openssl rand -hex 24
	make_once "$DIR/cluster_id" make_cluster_id
	((EUID != 0)) || chown -R "$USER_OF_ROOT:$USER_OF_ROOT" "$DIR"
}

prepare
[[ ${1:-} == --prepare ]] && exit 0
export WATCHPOST_UID=$((EUID == 0 ? USER_OF_ROOT : EUID))
export WATCHPOST_GID=$((EUID == 0 ? USER_OF_ROOT : $(id -g)))
KAFKA_CLUSTER_ID=$(<"$DIR/cluster_id")
WATCHPOST_VERSION=$(git describe --tags --always --dirty)
export KAFKA_CLUSTER_ID WATCHPOST_VERSION COMPOSE_VAR=$DIR
exec docker compose up --build --detach --wait "$@"
