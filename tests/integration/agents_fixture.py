"""Accounts and agents for tests: who connects them, who revokes them, and how a revoke waits (R5).

    from agents_fixture import Agents

    agents = Agents(system.postgres)
    of = agents.account()
    agent_id, token = agents.connect(of)
    agents.change(agent_id, "revoke")        # the number to wait for
    agents.wait_in_force(number)             # (nodes, in force, milliseconds), as operators' programs wait

The database is called as watchpostctl calls it; what watchpostctl itself does is tested with it.
"""

import base64
import contextlib
import hashlib
import os
import time

from postgres_fixture import wait_until

CTL = "watchpost_ctl"
WAIT_S = 1.0  # ACCESS_WAIT_MS


def ulid():
    """26 characters as a ULID has them; the first holds three bits."""
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    number = int.from_bytes(os.urandom(16), "big")
    return "".join(alphabet[number >> shift & 31] for shift in range(125, -1, -5))


def new_token():
    return "wp_" + base64.b32encode(os.urandom(20)).decode()


class Agents:
    """`postgres` is a PostgresCluster."""

    def __init__(self, postgres):
        self.postgres = postgres

    def query(self, sql, *parameters):
        return self.postgres.query(sql, list(parameters), role=CTL)

    def account(self, name="Test"):
        of = "acct_" + ulid()
        self.query("select api.account_create(%s, %s)", of, name)
        return of

    def connect(self, of, name="Test"):
        """(agent id, token)"""
        agent_id, token = "agent_" + ulid(), new_token()
        self.query("select api.agent_connect(%s, %s, %s, null, %s, %s)", agent_id, of, name,
                   hashlib.sha256(token.encode()).digest(), token[:8])
        return agent_id, token

    def connect_many(self, of, count):
        """[(agent id, token)], in one transaction."""
        made = [("agent_" + ulid(), new_token()) for _ in range(count)]
        with contextlib.closing(self.postgres.connect(CTL)) as connection, connection.cursor() as cursor:
            connection.autocommit = False
            for agent_id, token in made:
                cursor.execute("select api.agent_connect(%s, %s, 'Test', null, %s, %s)",
                               [agent_id, of, hashlib.sha256(token.encode()).digest(), token[:8]])
            connection.commit()
        return made

    def change(self, agent_id, what):
        return self.query("select number from api.agent_change(%s, %s, null)", agent_id, what)[0][0]

    def change_account(self, of, what):
        return self.query("select number from api.account_change(%s, %s, null)", of, what)[0][0]

    def change_all(self, of, what):
        return self.query("select number from api.account_agents_change(%s, %s, null)", of, what)[0][0]

    def in_force(self, number):
        """(nodes, in force)"""
        return self.query("select nodes, in_force from api.access_in_force(%s)", number)[0]

    def wait_in_force(self, number):
        """R5, from the commit that just returned: (nodes, in force, milliseconds)."""
        began = time.monotonic()
        with contextlib.closing(self.postgres.connect(CTL)) as connection, connection.cursor() as cursor:
            while True:
                cursor.execute("select nodes, in_force from api.access_in_force(%s)", [number])
                nodes, shown = cursor.fetchone()
                waited = time.monotonic() - began
                if shown == nodes or waited >= WAIT_S:
                    return nodes, shown, waited * 1000
                time.sleep(0.002)

    def wait_completed(self, number, seconds=20):
        """R7: (nodes, nodes behind) when revocation-fanout has recorded it."""
        found = "select nodes, nodes_behind from report.revocations where number = %s and in_force_at is not null"
        wait_until(lambda: self.postgres.query(found, [number]), f"the completion of change {number}", seconds)
        return self.postgres.query(found, [number])[0]
