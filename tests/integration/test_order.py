"""Order and duplicates over the whole pipeline: Stripe promises neither order nor one delivery; the state must be right all the same."""

import random

import pytest

from postgres_fixture import wait_until
from stripe_api_fixture import StripeApi, api_subscription
from system_fixture import FULL, System, state_fact

COPIES = 40 if FULL else 8
SEED = 20261123
BASE_S = 1769000000
API_KEY = "rk_test_" + "order" * 5

# name -> (events as (second, change, status, previous status), the end, needs_refresh, what Stripe's API says when it is asked).
# previous status None: the event does not tell.
SEQUENCES = {
    "in order": ([(0, "created", "incomplete", None), (5, "updated", "active", "incomplete"), (9, "updated", "past_due", "active"),
                  (14, "updated", "active", "past_due")], "active", False, None),
    "out of order": ([(20, "updated", "unpaid", "past_due"), (3, "created", "trialing", None), (8, "updated", "active", "trialing"),
                      (12, "updated", "past_due", "active")], "unpaid", False, None),
    "same second, told": ([(4, "created", "incomplete", None), (4, "updated", "active", "incomplete")], "active", False, None),
    "same second, told against the rank": ([(4, "updated", "past_due", None), (4, "updated", "active", "past_due")],
                                           "active", False, None),
    "same second, there and back": ([(4, "updated", "past_due", "active"), (4, "updated", "active", "past_due")],
                                    "past_due", True, "active"),
    "same second, untold": ([(4, "updated", "active", None), (4, "updated", "past_due", None)], "past_due", True, "active"),
    "same second, untold, then later": ([(4, "updated", "active", None), (4, "updated", "paused", None),
                                         (7, "resumed", "active", None)], "active", False, None),
    "deleted, then a late update": ([(2, "updated", "active", None), (6, "deleted", "canceled", None), (5, "updated", "past_due", "active"),
                                     (9, "updated", "active", None)], "canceled", False, None),
    "deleted in the second of an update": ([(6, "updated", "active", None), (6, "deleted", "canceled", None)], "canceled", False, None),
    "expired": ([(0, "created", "incomplete", None), (82800, "updated", "incomplete_expired", "incomplete"),
                 (82800, "updated", "active", None)], "incomplete_expired", False, None),
    "paused and resumed": ([(0, "created", "trialing", None), (5, "paused", "paused", "trialing"), (9, "resumed", "active", "paused")],
                           "active", False, None),
}


def ids(name, copy, again=""):
    """(subscription, customer); `again`: another subscription of the same customer."""
    slug = "".join(word[0] for word in name.replace(",", "").split()) + str(len(name))
    return f"sub_{slug}{again}c{copy}", f"cus_{slug}c{copy}"


def event(event_id, subscription, customer, step):
    """A snapshot event of Stripe's shape since 2025-03-31."""
    second, change, status, previous = step
    data = {"object": {"id": subscription, "object": "subscription", "customer": customer, "status": status,
                       "cancel_at_period_end": False, "items": {"object": "list", "data": [{"current_period_end": BASE_S + 2592000}]}}}
    if previous is not None:
        data["previous_attributes"] = {"status": previous}
    return {"id": event_id, "object": "event", "api_version": "2025-03-31.basil", "created": BASE_S + second, "livemode": False,
            "type": f"customer.subscription.{change}", "data": data}


def streams(dice):
    """One list of events per copy of each sequence, shuffled and with duplicates; and a new subscription of a customer whose old
    one ended."""
    for name, (steps, *_) in SEQUENCES.items():
        for copy in range(COPIES):
            subscription, customer = ids(name, copy)
            events = [event(f"evt_{subscription[4:]}n{n}", subscription, customer, step) for n, step in enumerate(steps)]
            events += dice.choices(events, k=dice.randrange(4))
            if name.startswith("deleted, then"):
                new, _ = ids(name, copy, "new")
                events.append(event(f"evt_{new[4:]}", new, customer, (30, "created", "active", None)))
            dice.shuffle(events)
            yield events


def interleaved(dice):
    """All streams mixed; each keeps its own order."""
    waiting, mixed = list(streams(dice)), []
    while waiting:
        stream = dice.choice(waiting)
        mixed.append(stream.pop(0))
        if not stream:
            waiting.remove(stream)
    return mixed


@pytest.fixture(scope="module", name="system")
def one_system():
    """Small batches, so that merges happen within one and across many; two workers of the kind, so that partitions differ."""
    with System(workers={"subscription-sync": {"batch_items_max": 7}}) as system:
        system.add_worker("subscription-sync")
        system.wait_ready()
        yield system


@pytest.fixture(name="api")
def stripe_api():
    """What Stripe would say about the subscriptions that need asking."""
    api = StripeApi()
    for name, (_, _, _, truth) in SEQUENCES.items():
        for copy in range(COPIES):
            subscription, customer = ids(name, copy)
            if truth is not None:
                api.answers[subscription] = 200, api_subscription(subscription, customer, truth)
    yield api
    api.shutdown()
    api.server_close()


def test_every_interleaving_ends_in_the_right_state(system):
    """Why: what Stripe's delivery does to order must not reach the state. How: every sequence in several copies, each shuffled and with
    duplicates, all mixed, signed and sent through the ingress; each copy must end in the state of the newest event, in the end where
    there was one, or, where only Stripe could tell, in the state of the documented rank with needs_refresh."""
    sent = interleaved(random.Random(SEED))
    assert set(system.send(*sent)) == {200}
    system.wait_until_read()
    states = system.states()
    for name, (_, status, needs_refresh, _) in SEQUENCES.items():
        for copy in range(COPIES):
            found = states[ids(name, copy)[0]]
            assert (found[0], found[3]) == (status, needs_refresh), (name, copy)
    for copy in range(COPIES):
        assert states[ids("deleted, then a late update", copy, "new")[0]][0] == "active", "a new subscription begins anew"
    different = len({one["id"] for one in sent})
    assert system.query("select count(*) from wp.stripe_events") == [(different,)]
    assert system.query("select count(*), count(*) filter (where not duplicate) from report.audit") == [(len(sent), different)]
    state_fact(f"order: {len(SEQUENCES)} sequences in {COPIES} interleavings each (seed {SEED}), {len(sent) - different} of {len(sent)} "
               "deliveries a second time: every state is right")


def test_the_refresher_asks_where_only_stripe_can_tell(system, api):
    """Why: a rank is a guess. How: the workers above are started again with a key and a stand-in for Stripe's API; every subscription
    that needed it is asked for, once, ends in what Stripe says, and no other one is touched or asked for."""
    before = system.states()
    needy = {subscription for subscription, state in before.items() if state[3]}
    assert needy == set(api.answers), "the test above left them so"
    key_file = system.folder / "secrets/stripe_api_key"
    key_file.write_text(API_KEY, encoding="ascii")
    key_file.chmod(0o600)
    for worker in system.workers("subscription-sync"):
        assert worker.stop() == 0
        worker.settings |= {"stripe_api_key_file": key_file, "stripe_api_base": api.base, "refresh_interval_ms": 50,
                            "stripe_api_rate_per_s": 100}
        worker.start()
    system.wait_ready()
    wait_until(lambda: not any(state[3] for state in system.states().values()), "every refresh", 30)
    after = system.states()
    assert {subscription: state[0] for subscription, state in after.items() if subscription in needy} == {
        subscription: body["status"] for subscription, (_, body) in api.answers.items()}
    assert {s: state for s, state in after.items() if s not in needy} == {s: state for s, state in before.items() if s not in needy}
    assert {subscription for subscription, _ in api.asked} == needy and {key for _, key in api.asked} == {f"Bearer {API_KEY}"}
    # What was answered beats the same second, and a later event beats it.
    subscription, customer = ids("same second, untold", 0)
    assert system.send(event("evt_again", subscription, customer, (4, "updated", "past_due", None)),
                       event("evt_later", *ids("same second, untold", 1), (5, "updated", "unpaid", "active"))) == [200, 200]
    system.wait_until_read()
    states = system.states()
    assert states[subscription][0] == "active" and states[ids("same second, untold", 1)[0]][0] == "unpaid"
    for worker in system.workers("subscription-sync"):
        assert API_KEY not in worker.log.read_text(encoding="utf-8")
    state_fact(f"order: {len(needy)} states that only Stripe could tell are right after the refresher asked a stand-in API")
