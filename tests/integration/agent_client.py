"""What an agent asks of the nodes, for tests.

    clients = AgentClients(system)                # a System of system_fixture.py whose ingresses serve agents
    agent = clients.connect()                     # of a new account; connect(account) for one more of it
    agent.get(); agent.report({"type": "note"}); agent.disconnect(node=2)
    clients.change(agent, "pause")                # as an operator would, not waiting for it to be in force
"""

import contextlib
import http.client
import json

from agents_fixture import Agents

ANSWER_S = 20

# Rates that a test's clients must not meet.
NO_LIMITS = {"agent_rate_per_s": 0, "agent_address_rate_per_s": 0, "unauthorized_rate_per_s": 0}


class Reply:
    """An answer, read to its end."""

    def __init__(self, answer):
        self.status = answer.status
        self.headers = {name.lower(): value for name, value in answer.getheaders()}
        self.body = answer.read()

    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json().get("code")

    @property
    def field(self):
        return self.json().get("field")


def ask(system, method, path, body=None, token=None, node=1, headers=None):
    """One request on a connection of its own; a body that is not bytes becomes JSON."""
    sent = dict(headers or {})
    if token is not None:
        sent["Authorization"] = f"Bearer {token}"
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    port = system.ingresses[node - 1].settings["listen_port"]
    opened = http.client.HTTPSConnection("localhost", port, timeout=ANSWER_S, context=system.tls_context()) if system.tls else \
        http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
    with contextlib.closing(opened) as connection:
        connection.request(method, path, body, sent)
        return Reply(connection.getresponse())


class Agent:
    """A connected agent."""

    def __init__(self, system, account, name, agent_id, token):
        self.system = system
        self.account = account
        self.name = name
        self.id = agent_id
        self.token = token

    def ask(self, method, path, body=None, node=1, headers=None):
        return ask(self.system, method, path, body, self.token, node, headers)

    def get(self, node=1):
        return self.ask("GET", "/v1/agent", node=node)

    def report(self, body, node=1):
        return self.ask("POST", "/v1/events", body, node=node)

    def disconnect(self, node=1):
        return self.ask("DELETE", "/v1/agent", node=node)


class AgentClients:
    """Agents of one system."""

    def __init__(self, system):
        self.system = system
        self.agents = Agents(system.postgres)

    def connect(self, account=None, name="Agent of a test"):
        account = account or self.agents.account()
        return Agent(self.system, account, name, *self.agents.connect(account, name))

    def change(self, agent, change):
        """pause, resume or revoke."""
        self.agents.change(agent.id, change)

    def change_account(self, agent, change):
        """suspend or resume."""
        self.agents.change_account(agent.account, change)
