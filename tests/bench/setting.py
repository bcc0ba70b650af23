"""What a benchmark stands on: a folder, a secret, a certificate, a real Kafka broker with a topic of four partitions, and
for agents a real PostgreSQL that knows them."""

import hashlib
import os
import subprocess

import confluent_kafka.admin

from servers import ROOT, free_port
from agents_fixture import new_token, ulid
from postgres_fixture import PostgresCluster

KAFKA = ROOT / "ops/dev/kafka/kafka.sh"


class Setting:
    """For webhooks. `topic` is where servers publish."""

    topic = "watchpost.development.stripe"
    topics = (topic,)

    def __init__(self, folder, kafka_cpus=None):
        self.folder, self.kafka_cpus = folder, kafka_cpus
        self.secret_file = folder / "stripe-secret"
        self.brokers = f"127.0.0.1:{free_port()}"

    def __enter__(self):
        self.secret_file.write_text("whsec_" + os.urandom(16).hex() + "\n")
        self.secret_file.chmod(0o600)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=localhost", "-keyout", self.folder / "key.pem", "-out", self.folder / "cert.pem"],
                       check=True, capture_output=True)
        pin = ["taskset", "-c", self.kafka_cpus] if self.kafka_cpus else []
        port = self.brokers.rpartition(":")[2]
        subprocess.run(pin + [str(KAFKA), "start", str(self.folder / "kafka"), port, str(free_port())], check=True,
                       stdout=subprocess.DEVNULL, env={**os.environ, "KAFKA_PROFILE": "bench"})
        admin = confluent_kafka.admin.AdminClient({"bootstrap.servers": self.brokers, "log_level": 2})
        new = [confluent_kafka.admin.NewTopic(topic, 4, 1) for topic in self.topics]
        for future in admin.create_topics(new).values():
            future.result()
        return self

    def __exit__(self, *_):
        subprocess.run([str(KAFKA), "stop", str(self.folder / "kafka")], stdout=subprocess.DEVNULL)

    def load_arguments(self):
        """What the load generator sends."""
        return ["--secret-file", str(self.secret_file), "--pool", "8192", "--customers", "1000"]


class AgentSetting(Setting):
    """For agents' events: `agents` accounts with one connected agent each, their tokens in a file."""

    topic = "watchpost.development.agent"
    topics = (topic, Setting.topic, "watchpost.development.access-changes")

    def __init__(self, folder, agents, kafka_cpus=None):
        super().__init__(folder, kafka_cpus)
        self.agents = agents
        self.tokens_file = folder / "tokens"
        self.postgres = None

    def __enter__(self):
        super().__enter__()
        try:
            self.postgres = PostgresCluster()
            self.postgres.migrate()
            self.connect_agents()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.postgres is not None:
            self.postgres.close()
        super().__exit__()

    def connect_agents(self):
        tokens = [new_token() for _ in range(self.agents)]
        self.tokens_file.write_text("\n".join(tokens) + "\n", encoding="ascii")
        self.tokens_file.chmod(0o600)
        with self.postgres.connect("watchpost_ctl") as connection, connection.cursor() as cursor:
            for token in tokens:
                account, agent = "acct_" + ulid(), "agent_" + ulid()
                cursor.execute("select api.account_create(%s, 'bench')", (account,))
                cursor.execute("select api.agent_connect(%s, %s, 'bench', null, %s, %s)",
                               (agent, account, hashlib.sha256(token.encode()).digest(), token[:8]))

    def load_arguments(self):
        return ["--tokens-file", str(self.tokens_file), "--pool", "8192", "--body-bytes", "400"]
