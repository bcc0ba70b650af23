#!/usr/bin/env bash
# Against a running development system (VAR): sends a signed Stripe event as Stripe would, an agent's event, and revokes an
# agent; shows what became of each, step by step. Ends with 1 when something did not arrive.
set -euo pipefail
# shellcheck source=ops/dev/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

ARRIVE_DEADLINE_S=15
WORK=

# A paid subscription of a new customer, in the shape that Stripe sends.
make_event() { # SUFFIX NOW_S
	cat <<-END
		{
		  "id": "evt_try$1", "object": "event", "api_version": "2025-03-31.basil", "created": $2,
		  "type": "customer.subscription.created", "livemode": false, "pending_webhooks": 1,
		  "request": {"id": null, "idempotency_key": null},
		  "data": {"object": {
		    "id": "sub_try$1", "object": "subscription", "customer": "cus_try$1", "status": "active",
		    "cancel_at_period_end": false, "created": $2, "livemode": false, "currency": "usd",
		    "items": {"object": "list", "data": [{"id": "si_try$1", "object": "subscription_item",
		      "current_period_start": $2, "current_period_end": $(($2 + 30 * 86400)), "quantity": 1}]}
		  }}
		}
	END
}

# query SQL with :'id': rows as "column|value" lines.
query() { # ID
	psql -X -q -t -A -x -v ON_ERROR_STOP=1 -v id="$1" "$WATCHPOST_DSN" >"$WORK/row" && [[ -s $WORK/row ]]
}

subscription_row() { # CUSTOMER
	query "$1" <<<"select stripe_customer_id, stripe_subscription_id, status, current_period_end, needs_refresh
		from report.subscriptions where stripe_customer_id = :'id'"
}

audit_row() { # EVENT
	query "$1" <<<"select topic, partition, record_offset, occurred_at, type, summary
		from report.audit where event_id = :'id'"
}

# await WHAT COMMAND…: waits for the row and shows it.
await() {
	local what=$1 since
	shift
	since=$(now_ms)
	if ! wait_until "$ARRIVE_DEADLINE_S" "$@" 2>"$WORK/error"; then
		fail "no row in $what after $ARRIVE_DEADLINE_S s. $(<"$WORK/error") The logs: $WATCHPOST_LOG_DIR"
	fi
	say "   there after $(seconds_since "$since"):"
	awk -F '|' '{ printf "     %-24s %s\n", $1, substr($0, length($1) + 2) }' "$WORK/row"
}

send() {
	if ! "$CTL" --config "$VAR/watchpost.conf" stripe send --url "$WATCHPOST_URL" --ca "$WATCHPOST_CA" \
		--file "$WORK/event.json" >"$WORK/answer" 2>&1; then
		fail "the ingress did not take it: $(<"$WORK/answer")"
	fi
	# One line of names, one of values, with tabs between: id, type, status, microseconds, body.
	awk -F '\t' 'NR == 2 { printf "   answered %s in %.1f ms: %s\n", $3, $4 / 1000, $5 }' "$WORK/answer"
}

ctl() { "$CTL" --config "$VAR/watchpost.conf" "$@"; }

# agent TOKEN-FILE METHOD PATH [BODY]: as an agent calls; the status goes to standard output, the body to $WORK/answer. The
# token is read from a file, so that it stands in no process list.
agent() {
	local header=$WORK/header
	printf 'Authorization: Bearer %s\n' "$(<"$1")" >"$header"
	curl -sS --cacert "$WATCHPOST_CA" -H "@$header" -X "$2" ${4:+-H 'Content-Type: application/json' -d "$4"} \
		-o "$WORK/answer" -w '%{http_code}' "$WATCHPOST_URL$3"
}

expect() { # STATUS FOUND WHAT
	[[ $1 == "$2" ]] || fail "$3 was answered $2 instead of $1: $(<"$WORK/answer")"
	say "   answered $2: $(head -c 300 "$WORK/answer")"
}

agent_audit_row() { # REPORT
	query "$1" <<<"select topic, partition, record_offset, occurred_at, type, actor, summary
		from report.audit where event_id like '%/' || :'id'"
}

try_event() { # SUFFIX
	local body="{\"id\": \"try-$1\", \"type\": \"purchase.completed\", \"amount\": 1250, \"currency\": \"usd\"}"
	say "4. An agent reports a purchase with its token:"
	say "   curl -H 'Authorization: Bearer wp_…' -d '$body' $WATCHPOST_URL/v1/events"
	expect 202 "$(agent "$VAR/secrets/agent_token" POST /v1/events "$body")" "the event"
	say "5. audit-log writes it into the ledger: report.audit"
	await report.audit agent_audit_row "try-$1"
}

try_revoke() {
	local id token=$WORK/token account
	account=$(<"$VAR/secrets/account")
	say "6. Another agent is connected, and its token works: GET $WATCHPOST_URL/v1/agent"
	id=$(ctl agent connect --account "$account" --name "Throw-away" --out "$token" 2>"$WORK/answer" |
		awk -F '\t' 'NR == 2 { print $1 }') || fail "no agent could be connected: $(<"$WORK/answer")"
	expect 200 "$(agent "$token" GET /v1/agent)" "the agent"
	say "7. It is revoked: $(short_path "$CTL") --config $(short_path "$VAR")/watchpost.conf agent revoke $id"
	ctl agent revoke "$id" --reason "make try" >"$WORK/row" 2>"$WORK/answer" || fail "the revoke failed: $(<"$WORK/answer")"
	say "   $(<"$WORK/answer")"
	say "8. Its next call is refused"
	expect 401 "$(agent "$token" GET /v1/agent)" "the revoked agent"
}

main() {
	[[ -s $VAR/dev.env ]] || fail "nothing is ready in $(short_path "$VAR"): start it with make run$(var_word)"
	# shellcheck source=/dev/null
	. "$VAR/dev.env"
	WORK=$(mktemp -d "$VAR/try.XXXXXX")
	trap 'rm -rf "$WORK"' EXIT
	local suffix
	suffix=$(openssl rand -hex 8)
	make_event "$suffix" "$(date +%s)" >"$WORK/event.json"

	say "1. Stripe signs event evt_try$suffix (customer.subscription.created) and sends it"
	say "   to $WATCHPOST_URL/webhooks/stripe; the answer is 200 only once Kafka has it"
	send
	say "2. subscription-sync keeps the customer's subscription: report.subscriptions"
	await report.subscriptions subscription_row "cus_try$suffix"
	say "3. audit-log writes the record into the ledger: report.audit"
	await report.audit audit_row "evt_try$suffix"
	try_event "$suffix"
	try_revoke
	say "All of it arrived."
}

main
