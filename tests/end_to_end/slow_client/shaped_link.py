"""Publishes far more for one user than its client's link can carry, and events for ten fast users as well.

Runs in a network of its own (unshare --net): shaped_link.py RATE NATS_SERVER SERVICE ARGUMENT...
The slow client reads as fast as its link allows, and pauses before one of the events until the fast users have got all of theirs.
So the test fails if any fast user waits for the slow client, however fast this machine is. Exits with 0 when the slow client has
then got all events as well, in order, on the same connection; with 77 when this machine cannot shape a link.
"""

import base64
import contextlib
import ctypes
import http.client
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

SERVICE, SLOW_SIDE, DEBUG = ("10.0.0.1", 9135), "10.0.0.2", "127.0.0.1:9139"
NATS = ("127.0.0.1", 4222)
TOKENS = json.loads(os.environ["TOKENS"])
FAST_USERS = sorted(TOKENS.keys() - {"slow"})
# 16 MiB for the slow client, with one event for all fast users after every eighth event.
EVENTS, EVENT_BYTES, EVENTS_BETWEEN = 1024, 16 * 1024, 8
# Less than half: the rest is far more than the buffers of the connection hold.
PAUSE_BEFORE = EVENTS // 3
NOT_POSSIBLE_HERE = 77
PATIENCE_SECONDS = 60
CLONE_NEWNET = 0x40000000


def run(*command):
    try:
        result = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        not_possible(error)
    if result.returncode != 0:
        not_possible(f"{' '.join(command)}: {result.stderr.strip()}")


def not_possible(reason):
    print(reason, file=sys.stderr)
    sys.exit(NOT_POSSIBLE_HERE)


@contextlib.contextmanager
def slow_network():
    """Runs in another network, whose only link to the first one is shaped."""
    with open("/proc/self/ns/net") as first:
        first_network = f"/proc/{os.getpid()}/fd/{first.fileno()}"
        run("ip", "link", "set", "lo", "up")
        enter_network(lambda libc: libc.unshare(CLONE_NEWNET))
        run("ip", "link", "add", "slow", "type", "veth", "peer", "name", "shaped", "netns", first_network)
        run("ip", "address", "add", f"{SLOW_SIDE}/24", "dev", "slow")
        run("ip", "link", "set", "slow", "up")
        yield
        enter_network(lambda libc: libc.setns(first.fileno(), CLONE_NEWNET))


def enter_network(call):
    libc = ctypes.CDLL(None, use_errno=True)
    if call(libc) != 0:
        not_possible(os.strerror(ctypes.get_errno()))


class Client(threading.Thread):
    """Reads the events of a user. A socket stays in the network in which it was created."""

    def __init__(self, user, events, pause_before=None):
        super().__init__(daemon=True)
        self.user, self.events, self.numbers, self.failure = user, events, [], None
        self.pause_before, self.pause_ends = pause_before, threading.Event()
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE_SECONDS)

    def open(self):
        self.socket.connect(SERVICE)
        certificate = os.environ.get("OCIS_HTTP_TLS_CERTIFICATE")
        if certificate:
            known = ssl.create_default_context(cafile=certificate)
            self.socket = known.wrap_socket(self.socket, server_hostname="localhost")
        connection = http.client.HTTPConnection(*SERVICE)
        connection.sock = self.socket
        connection.request("GET", "/sse", headers={"x-access-token": TOKENS[self.user]})
        self.response = connection.getresponse()
        assert self.response.status == 200, self.response.status
        self.start()

    def run(self):
        try:
            while len(self.numbers) < self.events:
                if len(self.numbers) == self.pause_before:
                    self.pause_ends.wait()
                line = self.response.readline()
                if not line:
                    raise EOFError("the stream has ended")
                if line.startswith(b"data: "):
                    # A gap has no number.
                    self.numbers.append(int(line.split()[1]))
        except Exception as failure:
            self.failure = failure

    def has_everything(self):
        self.join()
        numbers = f"{len(self.numbers)} of {self.events} events"
        if self.failure:
            sys.exit(f"{self.user} got {numbers}: {self.failure!r}")
        if self.numbers != list(range(self.events)):
            sys.exit(f"{self.user} did not get its events in order and once: {self.numbers}")


class Publisher:
    """Publishes as fast as NATS accepts the messages."""

    def __init__(self):
        self.socket = socket.create_connection(NATS, timeout=PATIENCE_SECONDS)
        self.replies = self.socket.makefile("rb")
        self.socket.sendall(b'CONNECT {"verbose":false}\r\n')

    def event(self, users, number, padding):
        content = encode(f"{number} {padding}".encode())
        payload = json.dumps({"UserIDs": users, "Type": "t", "Message": content})
        message = json.dumps({
            "ID": "1", "Topic": "main-queue", "Payload": encode(payload.encode()),
            "Metadata": {"eventid": "1", "eventtype": "events.SendSSE", "initiatorid": "", "traceparent": ""},
            "Timestamp": "2026-11-23T16:10:33.440899299Z",
        }).encode()
        self.socket.sendall(b"PUB main-queue %d\r\n%s\r\n" % (len(message), message))

    def flush(self):
        self.socket.sendall(b"PING\r\n")
        while (reply := self.replies.readline()) != b"PONG\r\n":
            if not reply or reply.startswith(b"-ERR"):
                sys.exit(f"NATS replied {reply}")
            if reply == b"PING\r\n":
                self.socket.sendall(b"PONG\r\n")


def encode(data):
    return base64.b64encode(data).decode()


def page(path):
    return urllib.request.urlopen(f"http://{DEBUG}{path}", timeout=PATIENCE_SECONDS).read().decode()


def wait_for(what, happens):
    began = time.monotonic()
    while True:
        try:
            if happens():
                return
        except OSError:
            pass
        if time.monotonic() - began > PATIENCE_SECONDS:
            sys.exit(f"never: {what}")
        time.sleep(0.05)


def play(rate):
    with slow_network():
        slow = Client("slow", EVENTS, PAUSE_BEFORE)
    run("ip", "address", "add", f"{SERVICE[0]}/24", "dev", "shaped")
    run("ip", "link", "set", "shaped", "up")
    run("tc", "qdisc", "add", "dev", "shaped", "root", "tbf", "rate", rate, "burst", "32kb", "latency", "100ms")
    with contextlib.ExitStack() as programs:
        data = programs.enter_context(tempfile.TemporaryDirectory())
        start(programs, sys.argv[2], "-a", NATS[0], "-p", str(NATS[1]), "-js", "-sd", data, stderr=subprocess.DEVNULL)
        wait_for("NATS", lambda: socket.create_connection(NATS).close() is None)
        start(programs, *sys.argv[3:])
        wait_for("the service is ready", lambda: page("/readyz") == "OK")
        slow.open()
        fast = [Client(user, EVENTS // EVENTS_BETWEEN) for user in FAST_USERS]
        for client in fast:
            client.open()
        wait_for("all streams", lambda: f"sse_connections {1 + len(fast)}" in page("/metrics").splitlines())

        publisher, padding = Publisher(), "x" * EVENT_BYTES
        for number in range(EVENTS):
            publisher.event(["slow"], number, padding)
            if (number + 1) % EVENTS_BETWEEN == 0:
                publisher.event(FAST_USERS, number // EVENTS_BETWEEN, "")
                publisher.flush()
        for client in fast:
            client.has_everything()
        print(f"the slow client had {len(slow.numbers)} of {EVENTS} events when the fast ones had everything")
        # Speeds up the rest.
        run("tc", "qdisc", "del", "dev", "shaped", "root")
        slow.pause_ends.set()
        slow.has_everything()
        cut = re.search(r'^sse_connections_closed_total\{reason="write_timeout"\} [^0].*', page("/metrics"), re.MULTILINE)
        if cut:
            sys.exit(cut[0])


def start(programs, *command, **options):
    process = programs.enter_context(subprocess.Popen(command, **options))
    programs.callback(process.kill)


play(sys.argv[1])
