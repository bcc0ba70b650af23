"""The audit's hash chain and its seals computed a second time, from the records in Kafka alone (docs/events.md says how)."""

import hashlib
import struct
import subprocess
import time

from workers_fixture import PREFIX


def sized(data):
    return struct.pack(">I", len(data)) + data


def optional(data):
    return b"\0" if data is None else b"\1" + sized(data)


def genesis(cluster, topic, partition):
    return hashlib.sha256(b"watchpost chain genesis 1\n" + sized(cluster.encode()) + sized(topic.encode())
                          + struct.pack(">i", partition)).digest()


def link(head, message):
    headers = sorted((name.encode(), value or b"") for name, value in message.headers() or [])
    canonical = (b"watchpost record 1\n" + sized(message.topic().encode())
                 + struct.pack(">iqq", message.partition(), message.offset(), message.timestamp()[1]) + optional(message.key())
                 + b"\0" + struct.pack(">I", len(headers)) + b"".join(sized(n) + sized(v) for n, v in headers)
                 + optional(message.value()))
    return hashlib.sha256(head + canonical).digest()


def heads(system, topic="stripe"):
    """(partition, next offset) -> head, for every prefix of the topic."""
    cluster, found, now = system.broker.cluster_id(), {}, {}
    for message in system.read_all(topic):
        before = now.get(message.partition(), genesis(cluster, message.topic(), message.partition()))
        now[message.partition()] = link(before, message)
        found[message.partition(), message.offset() + 1] = now[message.partition()]
    return found


def assert_chain(system, topic="stripe"):
    """The heads in the offset rows are those of the records in Kafka."""
    expected = heads(system, topic)
    rows = system.query("select partition, next_offset, chain_head from wp.worker_offsets where worker = 'audit-log' and "
                        "topic = %s and cluster_id = %s and next_offset > 0", (PREFIX + topic, system.broker.cluster_id()))
    assert rows
    for partition, next_offset, head in rows:
        assert bytes(head) == expected[partition, next_offset], (partition, next_offset)


def assert_ledger_whole(system, topic="stripe"):
    """One row for every record, no more and no fewer."""
    rows = system.query("select partition, record_offset from report.audit where topic = %s and cluster_id = %s",
                        (PREFIX + topic, system.broker.cluster_id()))
    assert sorted(rows) == sorted((m.partition(), m.offset()) for m in system.read_all(topic))


def assert_seals(system, key, folder):
    """Each seal is signed over its text, names the one before it, and its head is that of the records."""
    public = folder / "seal.pub"
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True, timeout=30)
    seals = system.query("select topic, partition, last_offset, head, signature, cluster_id, previous, hash, sealed_at_ms "
                         "from report.seals order by topic, partition, seal_number")
    expected, before = heads(system), {}
    assert seals
    for topic, partition, last_offset, head, signature, cluster, previous, digest, sealed_at_ms in seals:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(sealed_at_ms // 1000)) + f".{sealed_at_ms % 1000:03d}Z"
        text = (f"watchpost seal 1\ncluster {cluster}\ntopic {topic}\npartition {partition}\nlast_offset {last_offset}\n"
                f"head {head}\nsealed_at {at}\nprevious {previous}\n").encode()
        (folder / "text").write_bytes(text)
        (folder / "signature").write_bytes(bytes.fromhex(signature))
        subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin", "-in", folder / "text",
                        "-sigfile", folder / "signature"], check=True, timeout=30, stdout=subprocess.DEVNULL)
        assert previous == before.get((topic, partition), genesis(cluster, topic, partition).hex())
        assert digest == hashlib.sha256(text + bytes.fromhex(signature)).hexdigest()
        before[topic, partition] = digest
        if topic == PREFIX + "stripe":
            assert head == expected[partition, last_offset + 1].hex()
