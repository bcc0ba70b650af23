"""A TCP proxy that delays, stalls and cuts: the network between programs and their servers, for tests.

    with FaultProxy() as proxy:                              # a process of its own
        port = proxy.open("postgres", "/run/…/.s.PGSQL.1")   # a Unix socket or a port on 127.0.0.1
        port = proxy.open("kafka", 9092, kafka=True)         # brokers that tell clients their address tell them the proxy's
        proxy.shape("postgres", up_ms=200, down_ms=0)        # towards the server, towards the client; 0: at once
        proxy.shape("postgres", down_ms=None)                # None: nothing passes until another shape is given
    proxy.shape("postgres", down_ms=300, spare="-poll")  # but not where a connection's first bytes have this text
        proxy.cut("postgres")                                # every connection, by a reset; new ones are let in
        proxy.refuse("postgres", True)                       # and new ones are reset too

What waits when a shape changes goes by the new one. Commands are lines of JSON on the process's standard input, each is
answered by one on its output; it ends with its input.
"""

import asyncio
import contextlib
import json
import pathlib
import socket
import struct
import subprocess
import sys
import threading

from fixture import Fixture

CHUNK_BYTES = 65536
WAITING_MAX = 1024  # chunks of one direction; then the sender is not read any more, as a full network would do
HOST = b"127.0.0.1"
KAFKA_HOSTS = [struct.pack(">h", len(HOST)) + HOST, bytes([len(HOST) + 1]) + HOST]  # a string of old protocol versions, of new ones
UP, DOWN = "up", "down"


class Link:
    """One server behind one port."""

    def __init__(self, target, kafka):
        self.target = target
        self.kafka = kafka
        self.delay_s = {UP: 0.0, DOWN: 0.0}
        self.open = {UP: asyncio.Event(), DOWN: asyncio.Event()}
        self.spare = None
        self.refusing = False
        self.writers = set()
        self.ports = {}
        self.shape(0, 0)

    def shape(self, up_ms, down_ms, spare=None):
        self.spare = spare.encode() if spare else None
        for direction, delay_ms in ((UP, up_ms), (DOWN, down_ms)):
            if delay_ms is None:
                self.open[direction].clear()
            else:
                self.delay_s[direction] = delay_ms / 1000
                self.open[direction].set()

    def cut(self):
        for writer in list(self.writers):
            reset(writer)

    async def connect(self):
        if isinstance(self.target, str):
            return await asyncio.open_unix_connection(self.target)
        return await asyncio.open_connection("127.0.0.1", self.target)

    def rewrite(self, frame):
        """An answer of a broker, with its port replaced by this link's wherever it names itself."""
        for host in KAFKA_HOSTS:
            for theirs, ours in self.ports.items():
                frame = frame.replace(host + struct.pack(">i", theirs), host + struct.pack(">i", ours))
        return frame

    async def read(self, reader, direction):
        if not self.kafka or direction == UP:
            return await reader.read(CHUNK_BYTES)
        try:
            head = await reader.readexactly(4)
            return head + self.rewrite(await reader.readexactly(int.from_bytes(head, "big")))
        except asyncio.IncompleteReadError:
            return b""

    def spared(self, first):
        """first: what a connection's client said first, in a list; empty until then."""
        return self.spare is not None and bool(first) and self.spare in first[0]

    async def take_in(self, reader, direction, waiting, first):
        loop = asyncio.get_running_loop()
        data = b"?"
        while data:
            data = await self.read(reader, direction)
            if direction == UP and not first:
                first.append(data)
            await waiting.put((loop.time(), data))

    async def give_out(self, writer, direction, waiting, first):
        loop = asyncio.get_running_loop()
        while True:
            came_s, data = await waiting.get()
            while (left_s := came_s + self.delay_s[direction] - loop.time()) > 0 and not self.spared(first):
                await asyncio.sleep(min(left_s, 0.02))
            if not self.spared(first):
                await self.open[direction].wait()
            if not data:
                return
            writer.write(data)
            await writer.drain()

    async def pass_on(self, reader, writer, direction, first):
        """One direction, until its sender ends; then the connection ends."""
        waiting = asyncio.Queue(WAITING_MAX)
        taking = asyncio.create_task(self.take_in(reader, direction, waiting, first))
        try:
            await self.give_out(writer, direction, waiting, first)
        finally:
            taking.cancel()

    async def serve(self, client_reader, client_writer):
        server_writer = None
        self.writers.add(client_writer)
        with contextlib.suppress(OSError):
            if not self.refusing:
                server_reader, server_writer = await self.connect()
                self.writers.add(server_writer)
                nodelay(client_writer, server_writer)
                first = []
                ways = [asyncio.create_task(self.pass_on(client_reader, server_writer, UP, first)),
                        asyncio.create_task(self.pass_on(server_reader, client_writer, DOWN, first))]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        for writer in (client_writer, server_writer):
            if writer is not None:
                self.writers.discard(writer)
                reset(writer)


def nodelay(*writers):
    for writer in writers:
        opened = writer.get_extra_info("socket")
        if opened.family == socket.AF_INET:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def reset(writer):
    """Closes at once; over TCP the other side gets a reset, not an end."""
    opened = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        if opened is not None and opened.family == socket.AF_INET:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Server:
    """The process: its links, and the commands."""

    def __init__(self):
        self.links = {}
        self.listeners = []

    async def open(self, name, target, kafka):
        link = Link(target, kafka)
        listener = await asyncio.start_server(link.serve, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        link.ports = {target: port}
        self.links[name] = link
        self.listeners.append(listener)
        return port

    async def obey(self, command, name, **given):
        if command == "open":
            return await self.open(name, **given)
        link = self.links[name]
        if command == "refuse":
            link.refusing = given["on"]
        elif command == "shape":
            link.shape(**given)
        if command == "cut" or link.refusing:
            link.cut()
        return None

    async def run(self):
        loop = asyncio.get_running_loop()
        lines = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while line := await lines.readline():
            print(json.dumps(await self.obey(**json.loads(line))), flush=True)


class FaultProxy(Fixture):
    """The proxy as a test holds it. Thread: any."""

    def __init__(self):
        self.lock = threading.Lock()
        self.process = subprocess.Popen([sys.executable, pathlib.Path(__file__)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def close(self):
        """Legal twice."""
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()

    def say(self, command, name, **given):
        with self.lock:
            self.process.stdin.write(json.dumps({"command": command, "name": name, **given}) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        assert answer, "the proxy ended"
        return json.loads(answer)

    def open(self, name, target, kafka=False):
        """The port where it listens for this target."""
        return self.say("open", name, target=target, kafka=kafka)

    def shape(self, name, up_ms=0, down_ms=0, spare=None):
        self.say("shape", name, up_ms=up_ms, down_ms=down_ms, spare=spare)

    def cut(self, name):
        self.say("cut", name)

    def refuse(self, name, on):
        self.say("refuse", name, on=on)

    def heal(self, name):
        self.refuse(name, False)
        self.shape(name)


if __name__ == "__main__":
    asyncio.run(Server().run())
