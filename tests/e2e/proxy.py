# SPDX-License-Identifier: MPL-2.0
"""proxy - a bad wire between clients and the broker

It takes whole messages of the bus and loses, doubles and delays them, each
way; what is delayed differently arrives in another order. Every client has a
connection of its own towards the broker, so that return paths stay apart.

As a program (the tests start it; Proxy below is their end of it):

    proxy.py FRONT BACK SEED

It says {"bound": ENDPOINT}, then reads one JSON object a line and answers
each with its counts: {"loss": 0.1, "duplication": 0.1, "delay": [0, 0.03]}
(probabilities, seconds) turns the knobs, {"cut": "both"} (or up, down, "")
loses all that goes that way and what was on its way there, {"inject":
MESSAGE} is said to the client of that message's session. It ends with its
stdin.

It also notes what no client may do or be told: see Witness.
"""
import collections
import heapq
import itertools
import json
import os
import random
import signal
import sys
import time

import msgpack
import zmq

from slotbus_client import MAGIC, own_start

CLIENTS = 128           # the one that was silent for longest goes first
HELD = 20000            # messages on their way; what is more gets lost
CONNECTING = 0.1        # seconds that a connection to the broker may take
REMEMBERED = 4096       # sessions, grants
UP, DOWN = "up", "down"


class Bounded(collections.OrderedDict):
    """A dict of the `most` keys that were set last."""

    def __init__(self, most, dropped=lambda value: None):
        collections.OrderedDict.__init__(self)
        self.most, self.dropped = most, dropped

    def __setitem__(self, key, value):
        collections.OrderedDict.__setitem__(self, key, value)
        self.move_to_end(key)
        while len(self) > self.most:
            self.dropped(self.popitem(last=False)[1])


class Witness:
    """Sees every message before anything happens to it."""

    def __init__(self):
        self.epochs = Bounded(REMEMBERED)   # session: (seq of its newest BEAT, epoch)
        self.grants = Bounded(REMEMBERED)   # (session, seq): (first, count)
        self.owners = Bounded(REMEMBERED)   # token: (session, seq)
        self.verbs = collections.Counter()
        self.wrong = []

    def complain(self, what, *about):
        if len(self.wrong) < 20:
            self.wrong.append("%s: %s" % (what, about))

    def see(self, message):
        self.verbs[message["verb"]] += 1
        if message["verb"] == "BEAT":
            self.beat(message["session"], message["seq"], message["epoch"])
        elif message["verb"] == "GRANT":
            self.grant(message["session"], message["seq"], message["first"], message["count"])
        elif message["verb"] == "BEAT_OK":
            for row in message.get("grants", []):
                self.grant(message["session"], row["seq"], row["first"], row["count"])

    def beat(self, session, seq, epoch):
        """I13: nobody goes back to a lower epoch."""
        newest = self.epochs.get(session, (0, 0))
        if seq > newest[0]:
            if epoch < newest[1]:
                self.complain("epoch went back", session, newest, (seq, epoch))
            self.epochs[session] = seq, epoch

    def grant(self, session, seq, first, count):
        """I3, I10: one grant of a request, and a token in one grant only."""
        known = self.grants.get((session, seq), (first, count))
        if known != (first, count):
            self.complain("two grants of a request", session, seq, known, (first, count))
        for token in range(first, first + count):
            owner = self.owners.get(token, (session, seq))
            if owner != (session, seq):
                self.complain("token granted twice", token, owner, (session, seq))
            self.owners[token] = owner
        self.grants[session, seq] = known


class Wire:
    def __init__(self, front, back, seed):
        self.context = zmq.Context()
        self.back = back
        self.random = random.Random(seed)
        self.front = self.socket(zmq.ROUTER)
        self.front.bind(front)
        self.poller = zmq.Poller()
        self.poller.register(self.front, zmq.POLLIN)
        self.poller.register(sys.stdin, zmq.POLLIN)
        self.clients = Bounded(CLIENTS, self.hang_up)   # routing id: DEALER
        self.ids = {}                                   # DEALER: routing id
        self.paths = Bounded(REMEMBERED)                # session: routing id
        self.due = []                                   # (when, number, way, routing id, frames, lost after)
        self.numbers = itertools.count()
        self.loss = self.duplication = 0.0
        self.delay = [0.0, 0.0]
        self.cut = ""
        self.counts = collections.Counter()
        self.witness = Witness()

    def socket(self, kind):
        socket = self.context.socket(kind)
        for option, value in ((zmq.LINGER, 0), (zmq.SNDHWM, 1000), (zmq.RCVHWM, 1000),
                              (zmq.RECONNECT_IVL, 10), (zmq.RECONNECT_IVL_MAX, 100)):
            socket.set(option, value)
        return socket

    def hang_up(self, dealer):
        del self.ids[dealer]
        self.poller.unregister(dealer)
        dealer.close()

    def dealer(self, client):
        dealer = self.clients.get(client)
        if dealer is None:
            dealer = self.socket(zmq.DEALER)
            dealer.set(zmq.IMMEDIATE, 1)    # what a dead broker missed is lost
            dealer.connect(self.back)
            self.ids[dealer] = client
            self.poller.register(dealer, zmq.POLLIN)
        self.clients[client] = dealer
        return dealer

    # -- what passes --

    def look_into(self, client, frames):
        """The message that these frames are, as the Witness sees it."""
        if len(frames) < 2 or frames[-2] != MAGIC:
            return
        try:
            message = msgpack.unpackb(frames[-1])
            self.witness.see(message)
        except (ValueError, KeyError, TypeError, msgpack.UnpackException):
            self.counts["unread"] += 1
            return
        if "session" in message:
            self.paths[message["session"]] = client
        if message["verb"] == "HELLO" and self.back.startswith("ipc:"):
            # the broker takes the kernel's word for who the shim is, and that
            # is this process: its start has to go with its pid
            frames[-1] = msgpack.packb({**message, "start": own_start()})

    def pass_on(self, way, client, frames):
        self.counts[way] += 1
        self.look_into(client, frames)
        if self.cut in (way, "both") or self.random.random() < self.loss:
            self.counts["lost"] += 1
            return
        copies = 1
        if self.random.random() < self.duplication:
            self.counts["doubled"] += 1
            copies = 2
        for _ in range(copies):
            if len(self.due) >= HELD:
                self.counts["lost"] += 1
                return
            when = time.monotonic() + self.random.uniform(*self.delay)
            self.schedule(when, way, client, frames, when + CONNECTING)

    def schedule(self, when, way, client, frames, lost_after):
        heapq.heappush(self.due, (when, next(self.numbers), way, client, frames, lost_after))

    def send(self, way, client, frames):
        if way == UP:
            self.dealer(client).send_multipart(frames, zmq.DONTWAIT)
        else:
            self.front.send_multipart([client, *frames], zmq.DONTWAIT)

    def deliver(self):
        now = time.monotonic()
        while self.due and self.due[0][0] <= now:
            _, _, way, client, frames, lost_after = heapq.heappop(self.due)
            try:
                self.send(way, client, frames)
            except zmq.Again:           # not connected yet, or any more
                if now < lost_after:
                    self.schedule(now + 0.005, way, client, frames, lost_after)
                else:
                    self.counts["lost"] += 1

    def take(self, socket):
        for _ in range(100):
            try:
                frames = socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            if socket is self.front:
                self.pass_on(UP, frames[0], frames[1:])
            elif socket in self.ids:
                self.pass_on(DOWN, self.ids[socket], frames)

    # -- what it is told --

    def turn_off(self, way):
        """What is on its way when the wire is cut is lost too."""
        self.cut = way
        kept = [d for d in self.due if way not in (d[2], "both")]
        self.counts["lost"] += len(self.due) - len(kept)
        heapq.heapify(kept)
        self.due = kept

    def obey(self, order):
        for knob in ("loss", "duplication", "delay"):
            if knob in order:
                setattr(self, knob, order[knob])
        if "cut" in order:
            self.turn_off(order["cut"])
        if "inject" in order:
            message = order["inject"]
            self.front.send_multipart([self.paths[message["session"]], MAGIC,
                                       msgpack.packb(message)])
        return {"counts": self.counts, "clients": len(self.clients), "verbs": self.witness.verbs,
                "wrong": self.witness.wrong,
                "epochs": {str(s): e for s, (_, e) in self.witness.epochs.items()}}

    def timeout_ms(self):
        if not self.due:
            return None
        return max(0, int((self.due[0][0] - time.monotonic()) * 1000) + 1)

    def run(self):
        print(json.dumps({"bound": self.front.get_string(zmq.LAST_ENDPOINT)}), flush=True)
        while True:
            for socket, _ in self.poller.poll(self.timeout_ms()):
                if socket == sys.stdin.fileno():
                    line = sys.stdin.readline()
                    if not line:
                        return
                    print(json.dumps(self.obey(json.loads(line))), flush=True)
                else:
                    self.take(socket)
            self.deliver()


class Proxy:
    """The test's end: a wire in a process of its own."""

    def __init__(self, place, front, back, seed, **knobs):
        print("# wire seed=%d front=%s" % (seed, front), flush=True)
        self.program = place.start("/usr/bin/python3", "-B", os.path.abspath(__file__),
                                   front, back, str(seed), stdin=-1)
        self.answers = 0
        self.endpoint = json.loads(self.answer())["bound"]
        self.turn(**knobs)

    def answer(self):
        line = self.program.wait_line("", "stdout", start=self.answers).string
        self.answers += 1
        return line

    def turn(self, **orders):
        """Turn knobs; returns the counts."""
        self.program.process.stdin.write(json.dumps(orders).encode() + b"\n")
        self.program.process.stdin.flush()
        return json.loads(self.answer())


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Wire(sys.argv[1], sys.argv[2], int(sys.argv[3])).run()
