"""What a benchmark stands on: a folder, a secret, a certificate and a real Kafka broker with one topic of four partitions."""

import os
import subprocess

import confluent_kafka.admin

from servers import ROOT, free_port

KAFKA = ROOT / "ops/dev/kafka/kafka.sh"


class Setting:
    def __init__(self, folder, kafka_cpus=None):
        self.folder, self.kafka_cpus = folder, kafka_cpus
        self.secret_file = folder / "stripe-secret"
        self.topic = "watchpost.development.stripe"
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
        for future in admin.create_topics([confluent_kafka.admin.NewTopic(self.topic, 4, 1)]).values():
            future.result()
        return self

    def __exit__(self, *_):
        subprocess.run([str(KAFKA), "stop", str(self.folder / "kafka")], stdout=subprocess.DEVNULL)
