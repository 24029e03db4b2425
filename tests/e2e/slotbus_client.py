# SPDX-License-Identifier: MPL-2.0
"""slotbus_client - a client of the bus from its specification alone

Written from messages/PROTOCOL.md with zmq and msgpack; it shares no code with
slotbus. One thread: beats are sent while a call waits for something.

As a program it is the smallest shim there is: it says HELLO, asks for slots,
prints what it is told as JSON lines and beats until it is ended:

    slotbus_client.py ENDPOINT PROJECT COUNT [key=value of the REQUEST ...]
"""
import json
import os
import random
import sys
import time

import msgpack
import zmq

MAGIC = b"SLT1"
DEADLINE = 30.0


class Refused(Exception):
    """The broker answered ERROR; .message is that answer."""

    def __init__(self, message):
        Exception.__init__(self, "%s: %s %s" % (
            message.get("error"), message.get("key", ""), message.get("detail", "")))
        self.message = message
        self.error = message.get("error")


def read_line(path):
    with open(path) as f:
        return f.read().strip()


def host_identity():
    """What HELLO says of this machine."""
    try:
        machine = read_line("/etc/machine-id")
    except OSError:
        machine = ""
    # without one we are no machine that a broker here could know
    return {"host": os.uname().nodename + ("" if machine else "-nameless"), "machine": machine or "0" * 32,
            "boot": read_line("/proc/sys/kernel/random/boot_id")}


def own_start():
    return int(read_line("/proc/self/stat").rsplit(")", 1)[1].split()[19])


class Client:
    """A DEALER (pushes arrive at any time) or, with req=True, a REQ."""

    def __init__(self, endpoint, req=False, context=None):
        self.req = req
        self.socket = (context or zmq.Context.instance()).socket(zmq.REQ if req else zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RECONNECT_IVL, 20)
        self.socket.setsockopt(zmq.RECONNECT_IVL_MAX, 200)
        self.socket.connect(endpoint)
        self.inbox = []         # read, but not yet asked for

    def close(self):
        self.socket.close()

    def send(self, verb, **keys):
        self.send_body(msgpack.packb({"verb": verb, **keys}))

    def send_body(self, body, magic=MAGIC):
        self.socket.send_multipart([magic, body])

    def read(self, timeout):
        """The next message from the wire within `timeout` seconds, or None."""
        if not self.socket.poll(int(timeout * 1000)):
            return None
        frames = self.socket.recv_multipart()
        if frames[:1] == [b""]:
            frames = frames[1:]
        assert len(frames) == 2 and frames[0] == MAGIC, frames
        return msgpack.unpackb(frames[1])

    def meanwhile(self):
        """Called while waiting; a Session sends its beats here."""

    def is_stale(self, _message):
        """Is this an answer to what another session of ours said?"""
        return False

    def wait(self, verb=None, deadline=DEADLINE, errors=True, **match):
        """The first message of that verb (any if None) whose keys are so.
        Others stay for later calls. An ERROR raises Refused, if `errors` and
        it is not what was waited for."""
        end = time.monotonic() + deadline
        seen = 0
        while True:
            while seen < len(self.inbox):
                message = self.inbox[seen]
                if ((verb is None or message["verb"] == verb)
                        and all(message.get(k) == v for k, v in match.items())):
                    return self.inbox.pop(seen)
                if errors and message["verb"] == "ERROR" and not self.is_stale(message):
                    raise Refused(self.inbox.pop(seen))
                seen += 1
            left = end - time.monotonic()
            if left <= 0:
                raise AssertionError("no %s %s within %g s; there is: %s" % (
                    verb, match, deadline, self.inbox))
            self.meanwhile()
            message = self.read(min(left, 0.02))
            if message is not None:
                self.took(message)
                self.inbox.append(message)

    def took(self, message):
        """Sees every message once as it arrives."""

    def call(self, verb, answer, deadline=DEADLINE, **keys):
        """Send, and wait for the answer of that verb."""
        self.send(verb, **keys)
        return self.wait(answer, deadline)

    def status(self, **keys):
        """Every row of one snapshot, page by page."""
        page = self.call("STATUS", "STATUS_OK", **keys)
        whole = dict(page)
        while page.get("next"):
            page = self.call("STATUS", "STATUS_OK", snapshot=page["snapshot"],
                             cursor=page["next"], **keys)
            for rows in ("hosts", "projects", "agents", "queue"):
                whole[rows] = whole.get(rows, []) + page.get(rows, [])
        return whole


class Session(Client):
    """A shim's dialogue: HELLO at once, beats while anything is waited for.
    `holds` are the tokens it has; grants are taken and acknowledged."""

    def __init__(self, endpoint, project, req=False, beating=True, context=None, **hello):
        Client.__init__(self, endpoint, req, context)
        self.project = project
        self.beating = beating
        self.session = None
        self.holds = []
        self.acks = {}          # seq of a grant: number of the BEAT that named it
        self.seq = 0
        self.beat_seq = 0
        self.beat_due = None
        self.hello_keys = {"nonce": random.randrange(1, 2**63), "project": project,
                           **host_identity(), "pid": os.getpid(), "start": own_start(), **hello}
        self.hello()

    def hello(self, **changes):
        keys = {**self.hello_keys, **changes}
        self.session = self.beat_due = None
        self.welcome = self.call("HELLO", "WELCOME", **keys)
        self.session = self.welcome["session"]
        self.epoch = self.welcome["epoch"]
        self.beat_due = time.monotonic() + self.welcome["beat_ms"] / 1000
        return self.welcome

    def is_stale(self, message):
        return message.get("session") not in (None, self.session)

    def beat(self):
        """Send one BEAT; BEAT_OK is waited for by whoever wants it."""
        self.beat_seq += 1
        keys = {"holds": self.holds[:512]} if self.holds else {}
        if self.acks:
            keys["acks"] = list(self.acks)[:64]
            for seq in keys["acks"]:
                self.acks[seq] = self.acks[seq] or self.beat_seq
        self.send("BEAT", session=self.session, epoch=self.epoch, seq=self.beat_seq, **keys)
        self.beat_due = time.monotonic() + self.welcome["beat_ms"] / 1000
        return self.beat_seq

    def beat_ok(self, deadline=DEADLINE):
        """One acknowledged BEAT."""
        seq = self.beat()
        return self.wait("BEAT_OK", deadline, seq=seq)

    def meanwhile(self):
        if self.beating and not self.req and self.beat_due and time.monotonic() >= self.beat_due:
            self.beat()

    def took(self, message):
        if message["verb"] == "GRANT" and "session" in message:
            self.take(message["seq"], message["first"], message["count"])
        if message["verb"] == "BEAT_OK":
            self.epoch = max(self.epoch, message["epoch"])
            self.acks = {s: n for s, n in self.acks.items() if n is None or n > message["seq"]}
            for grant in message.get("grants", []):
                self.take(grant["seq"], grant["first"], grant["count"])

    def take(self, seq, first, count):
        """Hold these tokens, and acknowledge the grant in the next BEAT."""
        self.acks.setdefault(seq, None)
        self.holds += [t for t in range(first, first + count) if t not in self.holds]

    def keep(self):
        """Beat if one is due and take what has come: for loops elsewhere. Old
        BEAT_OKs are dropped, so that waiting long does not pile them up."""
        self.meanwhile()
        while True:
            message = self.read(0)
            if message is None:
                return
            self.took(message)
            if message["verb"] != "BEAT_OK":
                self.inbox.append(message)

    def request(self, count, **keys):
        """Ask for slots; returns the seq. The answer is GRANT or QUEUED."""
        self.seq += 1
        self.send("REQUEST", session=self.session, seq=self.seq, count=count, **keys)
        return self.seq

    def granted(self, count, deadline=DEADLINE, **keys):
        """Ask and wait until they are granted: the list of tokens."""
        seq = self.request(count, **keys)
        grant = self.wait("GRANT", deadline, seq=seq)
        return list(range(grant["first"], grant["first"] + grant["count"]))

    def release(self, tokens, **keys):
        answer = self.call("RELEASE", "RELEASED", session=self.session, tokens=tokens, **keys)
        self.holds = [t for t in self.holds if t not in answer.get("tokens", [])]
        return answer


class Subscriber:
    """What is published: (topic, message)."""

    def __init__(self, endpoint, *topics, context=None):
        self.socket = (context or zmq.Context.instance()).socket(zmq.SUB)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RECONNECT_IVL, 20)
        for topic in topics:
            self.socket.setsockopt(zmq.SUBSCRIBE, topic.encode())
        self.socket.connect(endpoint)

    def subscribe(self, topic):
        self.socket.setsockopt(zmq.SUBSCRIBE, topic.encode())

    def close(self):
        self.socket.close()

    def wait(self, prefix="", deadline=DEADLINE, true=lambda message: True):
        end = time.monotonic() + deadline
        last = None
        while True:
            left = end - time.monotonic()
            if left <= 0 or not self.socket.poll(int(left * 1000)):
                raise AssertionError("nothing like that under %r within %g s; last: %s" % (
                    prefix, deadline, last))
            topic, magic, body = self.socket.recv_multipart()
            assert magic == MAGIC
            last = topic.decode(), msgpack.unpackb(body)
            if last[0].startswith(prefix) and true(last[1]):
                return last


def say(what, **keys):
    print(json.dumps({"what": what, **keys}), flush=True)


def stand_in_shim(endpoint, project, count, *keys):
    extra = {k: json.loads(v) for k, v in (pair.split("=", 1) for pair in keys)}
    session = Session(endpoint, project)
    say("welcome", **session.welcome)
    tokens = session.granted(count, **extra) if count else []
    say("granted", tokens=tokens)
    while True:
        session.keep()
        while session.inbox:
            message = session.inbox.pop(0)
            say("message", message=message)
        time.sleep(0.005)


if __name__ == "__main__":
    stand_in_shim(sys.argv[1], sys.argv[2], int(sys.argv[3]), *sys.argv[4:])
