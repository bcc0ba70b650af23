#!/usr/bin/env bash
# Makes what a development system proves itself with, once; what is there and still valid is kept.
#
#   ops/dev/credentials.sh DIR
#
#   DIR/tls/      a CA of its own (ca.pem, ca.key) and the ingress' certificate (server.pem, server.key)
#                 for localhost, 127.0.0.1 and ::1
#   DIR/secrets/  stripe_webhook (whsec_…), postgres_<role> (passwords), seal.key and seal.pub (Ed25519)
#
# Every file has mode 0600 but those that are public. Prints what it made, one word each; nothing when all was there.
set -euo pipefail
umask 077

PASSWORD_ROLES=(watchpost_migrator watchpost_ingress watchpost_subscription_sync watchpost_audit_log watchpost_outbox_relay
	watchpost_revocation_fanout watchpost_ctl)
CA_DAYS=3650
SERVER_DAYS=365
RENEW_BEFORE_S=$((7 * 86400))

CONFIG='
[req]
distinguished_name = name
prompt = no
[name]
commonName = Watchpost development CA
[ca]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = DNS:localhost, IP:127.0.0.1, IP:::1
'

# write_once FILE: standard input becomes FILE, whole or not at all.
write_once() {
	cat >"$1.new"
	mv "$1.new" "$1"
}

tls_valid() { # DIR
	[[ -s $1/ca.key && -s $1/server.key ]] || return 1
	openssl x509 -in "$1/server.pem" -noout -checkend "$RENEW_BEFORE_S" >/dev/null 2>&1 || return 1
	openssl verify -CAfile "$1/ca.pem" "$1/server.pem" >/dev/null 2>&1
}

make_key() { # FILE
	openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 | write_once "$1"
}

make_tls() { # DIR
	local conf=$1/openssl.conf
	printf '%s' "$CONFIG" >"$conf"
	make_key "$1/ca.key"
	openssl req -x509 -config "$conf" -extensions ca -key "$1/ca.key" -days "$CA_DAYS" | write_once "$1/ca.pem"
	make_key "$1/server.key"
	openssl req -new -config "$conf" -subj /CN=localhost -key "$1/server.key" |
		openssl x509 -req -CA "$1/ca.pem" -CAkey "$1/ca.key" -set_serial "0x$(openssl rand -hex 8)" \
			-days "$SERVER_DAYS" -extfile "$conf" -extensions server 2>/dev/null | write_once "$1/server.pem"
	chmod 0644 "$1/ca.pem" "$1/server.pem"
	rm -f "$conf"
	tls_valid "$1"
}

make_passwords() { # DIR
	local role
	for role in "${PASSWORD_ROLES[@]}"; do
		[[ -s $1/postgres_$role ]] && continue
		openssl rand -hex 24 | write_once "$1/postgres_$role"
		printf 'postgres_%s ' "$role"
	done
}

make_seal_key() { # DIR
	openssl genpkey -algorithm ed25519 | write_once "$1/seal.key"
	openssl pkey -in "$1/seal.key" -pubout | write_once "$1/seal.pub"
	chmod 0644 "$1/seal.pub"
}

(($# == 1)) || {
	printf 'usage: ops/dev/credentials.sh DIR\n' >&2
	exit 2
}
mkdir -p "$1/tls" "$1/secrets"
if ! tls_valid "$1/tls"; then
	make_tls "$1/tls"
	printf 'certificates '
fi
if [[ ! -s $1/secrets/stripe_webhook ]]; then
	printf 'whsec_%s\n' "$(openssl rand -hex 16)" | write_once "$1/secrets/stripe_webhook"
	printf 'stripe_webhook '
fi
make_passwords "$1/secrets"
if [[ ! -s $1/secrets/seal.key || ! -s $1/secrets/seal.pub ]]; then
	make_seal_key "$1/secrets"
	printf 'seal.key '
fi
printf '\n'
