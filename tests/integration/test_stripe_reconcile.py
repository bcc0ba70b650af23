"""`watchpostctl stripe reconcile`: every subscription of a stand-in for Stripe's API, taken over into a real PostgreSQL."""

import json
import subprocess

import pytest

from agents_fixture import Agents
from postgres_fixture import CTL, ROOT, PostgresCluster
from stripe_api_fixture import StripeApi, api_subscription

OK, INVALID, DENIED, UNAVAILABLE = 0, 2, 5, 7  # docs/exit-codes.md
PAGE = 100


@pytest.fixture
def cluster():
    with PostgresCluster(fsync=False) as cluster:
        cluster.migrate()
        yield cluster


@pytest.fixture
def api():
    api = StripeApi()
    yield api
    api.shutdown()
    api.server_close()


@pytest.fixture
def reconcile(cluster, api, tmp_path):
    key = tmp_path / "key"
    key.write_text("rk_test_reconcile\n", encoding="ascii")

    def run(*words, status=OK):
        """({subscription: outcome}, the remarks)"""
        command = [CTL, *cluster.settings("watchpost_ctl"), "--stripe-api-key-file", key, "--stripe-api-base", api.base,
                   "--stripe-api-rate-per-s", "100", "stripe", "reconcile", *words]
        done = subprocess.run([str(w) for w in command], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
        assert done.returncode == status, (words, done.returncode, done.stdout, done.stderr)
        if "--json" in words:
            return {row["stripe_subscription_id"]: row["outcome"] for row in json.loads(done.stdout)}, done.stderr
        lines = [line.split("\t") for line in done.stdout.splitlines()[1:]]
        return {line[0]: line[3] for line in lines}, done.stderr

    return run


def kept(cluster):
    return dict(cluster.query("select stripe_subscription_id, status from report.subscriptions"))


def everything(cluster):
    return cluster.query("select s::text from wp.subscriptions s order by 1")


def some(count, status="active"):
    """Newest first, as Stripe lists them."""
    return [api_subscription(f"sub_r{n:04}", f"cus_r{n:04}", status) for n in range(count, 0, -1)]


def test_a_backfill_and_again(cluster, api, reconcile):
    """Why: an owner who sets Watchpost up has subscriptions already, and accounts follow them. How: 250 of them, three pages; --dry-run
    writes nothing; then all are kept with what Stripe says and nothing else; once more, all are the same; JSON has the same rows."""
    api.listed = some(249, "unpaid") + [api_subscription("sub_last", "cus_last", "active")]
    account = Agents(cluster).account()
    account_state = f"select state from report.accounts where account_id = '{account}'"
    cluster.query("select api.account_link(%s, 'cus_last', false, true, 0)", [account], role="watchpost_ctl")
    assert cluster.query(account_state) == [("suspended",)]
    outcomes, said = reconcile("--dry-run", "--require-subscription", "true", "--json")
    assert said == "" and len(outcomes) == 250
    outcomes, said = reconcile("--dry-run", "--require-subscription", "true")
    assert set(outcomes.values()) == {"inserted"} and len(outcomes) == 250
    assert "nothing was written; would be: 250 inserted, 0 changed, 0 the same" in said
    assert everything(cluster) == []

    outcomes, said = reconcile("--require-subscription", "true")
    assert len(outcomes) == 250 and "250 inserted, 0 changed, 0 the same" in said
    assert [what for what, _ in api.asked] == ["", "sub_r0150", "sub_r0050"] * 3
    assert set(key for _, key in api.asked) == {"Bearer rk_test_reconcile"}
    assert kept(cluster) == {s["id"]: s["status"] for s in api.listed}
    assert cluster.query("select distinct current_period_end = to_timestamp(1800000000), cancel_at_period_end, livemode, needs_refresh "
                         "from report.subscriptions") == [(True, True, False, False)]
    assert cluster.query(account_state) == [("active",)]
    assert not any("canary" in row or "4242" in row for (row,) in everything(cluster))

    outcomes, said = reconcile()  # what changed a moment ago may be newer than Stripe's answer
    assert set(outcomes.values()) == {"changed_meanwhile"} and "250 changed while Stripe was asked" in said
    cluster.query("update wp.subscriptions set updated_at = now() - interval '1 hour'")
    before = everything(cluster)
    outcomes, said = reconcile()
    assert outcomes == {} and "0 inserted, 0 changed, 250 the same" in said
    assert everything(cluster) == before


def test_what_differs_is_changed_and_the_rest_left_alone(cluster, api, reconcile):
    """Why: lost webhooks leave states behind; but an event that comes meanwhile is newer than Stripe's answer, an end stands, and the other
    mode's subscriptions are not ours. How: one of each, and one that the database cannot keep, which must hold nothing up."""
    api.listed = some(6)
    reconcile()
    newest = {s["id"]: s for s in api.listed}
    newest["sub_r0001"]["status"] = "past_due"
    newest["sub_r0003"]["status"] = "unpaid"
    newest["sub_r0004"]["livemode"] = True
    newest["sub_r0005"]["items"]["data"] = [{"current_period_end": 9 * 10**18}]
    cluster.query("update wp.subscriptions set status = 'canceled', version = version + 1, updated_at = now() - interval '1 hour' "
                  "where stripe_subscription_id = 'sub_r0002'")
    cluster.query("update wp.subscriptions set updated_at = now() - interval '1 hour'")
    api.before[""] = lambda: cluster.query("update wp.subscriptions set version = version + 1, updated_at = now() "
                                           "where stripe_subscription_id = 'sub_r0003'")
    before = kept(cluster)
    expected = {"sub_r0001": "changed", "sub_r0002": "terminal", "sub_r0003": "changed_meanwhile", "sub_r0004": "other_mode",
                "sub_r0005": "refused"}
    for words in (["--dry-run"], []):
        outcomes, said = reconcile(*words)
        assert {**expected, "sub_r0005": outcomes["sub_r0005"]} == outcomes
        if words:
            assert kept(cluster) == before
    assert outcomes == expected
    for remark in ("0 inserted, 1 changed, 1 the same", "1 changed while Stripe was asked", "1 live at Stripe", "1 were not taken",
                   "1 were left out: stripe_livemode is false"):
        assert remark in said, said
    assert kept(cluster) == {**before, "sub_r0001": "past_due"}


def test_stripe_does_not_answer(cluster, api, reconcile):
    """Why: a long backfill meets rate limits; a wrong key must be told at once; and what was done before a failure stays done. How: 429
    first, which passes; then a refused key; a page that claims that there is more and is empty; no key at all, and a key that would
    cross a network in the clear."""
    api.listed = some(2 * PAGE)
    api.answers[""] = 429, {}
    api.before[""] = lambda: api.before.update({"": lambda: api.answers.pop("", None)})
    outcomes, said = reconcile()
    assert len(outcomes) == 2 * PAGE and "rate limit is reached; asking again in 1 s" in said

    api.answers["sub_r0101"] = 401, {}
    _, said = reconcile(status=DENIED)
    assert "after 100 subscriptions: Stripe refuses the key (status 401)" in said
    api.answers["sub_r0101"] = 200, {"object": "list", "data": [], "has_more": True}
    _, said = reconcile(status=INVALID)
    assert "empty page" in said
    api.before.clear()
    api.answers[""] = 200, {"object": "list"}
    _, said = reconcile(status=INVALID)
    assert "after 0 subscriptions" in said
    _, said = reconcile("--stripe-api-key-file", "", status=INVALID)
    assert "stripe_api_key_file is not set" in said
    _, said = reconcile("--environment", "production", status=INVALID)
    assert "stripe_api_base must begin with https://" in said
