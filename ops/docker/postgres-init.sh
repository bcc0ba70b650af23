#!/bin/bash
# Run once by the postgres image, on an empty volume: the database, the role that migrates, and the programs' login
# roles with the passwords that lie in SECRETS_DIR (/run/secrets). Rights inside the database are the migrations' business.
set -euo pipefail

SECRETS=${SECRETS_DIR:-/run/secrets}

quoted_password() { # ROLE
	local password
	password=$(<"$SECRETS/postgres_$1")
	[[ $password =~ ^[A-Za-z0-9]+$ ]] || {
		echo "the password of $1 is not letters and digits" >&2
		exit 1
	}
	printf "'%s'" "$password"
}

roles() {
	local role
	echo "create role watchpost_migrator login createrole noinherit password $(quoted_password watchpost_migrator);"
	for role in watchpost_ingress watchpost_subscription_sync watchpost_audit_log watchpost_outbox_relay \
		watchpost_revocation_fanout watchpost_ctl; do
		echo "create role $role login noinherit password $(quoted_password "$role");"
	done
	echo "create database watchpost owner watchpost_migrator;"
}

# On standard input, so that no password shows in a list of processes.
roles | psql -X -q -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres
