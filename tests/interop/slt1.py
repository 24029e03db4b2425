# SPDX-License-Identifier: MPL-2.0
"""slt1 - a client of slotbus, written from messages/PROTOCOL.md alone

An example to copy from. It needs python3-zmq and python3-msgpack:

    session = Session("ipc:///run/slotbus/broker", "odin")
    seq = session.request(2, labels="auth,api")
    session.until(lambda: session.requests[seq].tokens, 60)
    ...                                 # start it, with session.cookie ([17])
    session.started([17], pid=4711)
    while working:
        session.turn(1.0)               # beats, resends, receives
        while session.events:           # what a supervisor has to know
            name, message = session.events.popleft()
    session.reaped([17], status=0)
    session.bye()

Session is a shim on a DEALER; Session(..., wire=Req) the same on a REQ.
call, status, kill and set_max are what people ask; Subscriber reads topics.

Nothing here blocks but turn and the calls, nothing has a thread, and every
message is repeated until it is answered: that is the whole of error recovery.
"""
import collections
import fcntl
import os
import random
import struct
import time

import msgpack
import zmq

MAGIC = b"SLT1"
MAX_BODY = 65536
FIRST_HELLO_S = 0.5   # between two HELLOs while H is not known yet
WINDOW = 64           # requests without an answer


# ---- bytes ------------------------------------------------------------------

def encode(message):
    """The frames of a message. Keys whose value is None are left out."""
    said = {key: value for key, value in message.items() if value is not None}
    return [MAGIC, msgpack.packb(said, unicode_errors="surrogateescape")]


def decode(frames):
    """The message in these frames, or None: what cannot be understood is
    dropped, as if it were lost. Text may hold any bytes."""
    if len(frames) != 2 or frames[0] != MAGIC or len(frames[1]) > MAX_BODY:
        return None
    try:
        message = msgpack.unpackb(frames[1], unicode_errors="surrogateescape")
    except (ValueError, msgpack.UnpackException):
        return None
    if not isinstance(message, dict) or not isinstance(message.get("verb"), str):
        return None
    return message


def random_id():
    """For `nonce` and `id`: 64 bits, not 0."""
    return random.SystemRandom().randrange(1, 2 ** 64)


# ---- sockets ----------------------------------------------------------------

class Dealer:
    """May send at any time, and be told things at any time."""
    kind = zmq.DEALER

    def __init__(self, endpoints):
        self.endpoints = collections.deque(endpoints.split(","))
        self.socket = None
        self.renew()

    def renew(self):
        """A new socket, to the next endpoint: one is never connected to two."""
        self.close()
        self.socket = zmq.Context.instance().socket(self.kind)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.IMMEDIATE, 1)
        self.socket.setsockopt(zmq.SNDHWM, 100)
        self.socket.setsockopt(zmq.MAXMSGSIZE, MAX_BODY)
        self.socket.setsockopt(zmq.RECONNECT_IVL, 100)
        self.socket.setsockopt(zmq.RECONNECT_IVL_MAX, 5000)
        self.socket.connect(self.endpoints[0])
        self.endpoints.rotate(-1)

    def send(self, message):
        """False where it cannot go now: it will be said again."""
        try:
            self.socket.send_multipart(encode(message), zmq.NOBLOCK)
            return True
        except zmq.Again:
            return False

    def receive(self, timeout_s):
        """The next message, or None."""
        if not self.socket.poll(max(0, int(timeout_s * 1000))):
            return None
        return decode(self.socket.recv_multipart())

    def close(self):
        if self.socket:
            self.socket.close()


class Req(Dealer):
    """The plainest: one question, one answer, and nothing else."""
    kind = zmq.REQ
    waiting = False

    def renew(self):
        super().renew()
        self.waiting = False

    def send(self, message):
        if self.waiting or not super().send(message):
            return False
        self.waiting = True
        return True

    def receive(self, timeout_s):
        if not self.waiting:
            time.sleep(max(0, timeout_s))   # nothing can come
            return None
        message = super().receive(timeout_s)
        self.waiting = message is None
        return message


# ---- which answer belongs to which message ----------------------------------

def named(released):
    """All tokens of a RELEASED, whatever became of them."""
    lists = ("tokens", "expired", "busy", "unknown", "kept")
    return {token for key in lists for token in released.get(key, [])}


def is_answer(answer, message):
    """Is this the answer to that message of a session?"""
    asked, verb = message["verb"], answer["verb"]
    if verb == "RELEASED":
        return asked in ("RELEASE", "REAPED") and named(answer) == set(message["tokens"])
    if verb in ("QUEUED", "GRANT"):
        return asked == "REQUEST" and answer["seq"] == message["seq"]
    if verb not in ("OK", "ERROR") or answer.get("re") != asked:
        return False
    return answer.get("seq", 0) == (message.get("seq") or 0)


# ---- a session --------------------------------------------------------------

class Request:
    """Something asked for; `answer` is the newest QUEUED, GRANT or ERROR."""

    def __init__(self, bound):
        self.bound = bound    # its workers live inside the supervisor
        self.answer = None
        self.tokens = []
        self.closed = False   # no slot will come of it any more

    @property
    def waits(self):
        return not self.tokens and not self.closed


class Unanswered:
    """A message that is sent again until it is answered; then `answer`."""

    def __init__(self, message):
        self.message = message
        self.answer = None
        self.sent_at = None


class Session:
    """One project's leases on this host. Call turn often: at least each H.

    `events` tells the supervisor, as pairs of a name and a message:
      granted   GRANT: its slots are in `slots` now
      queued    QUEUED: it waits, and where
      refused   ERROR: of a request, of HELLO (`over` is true then), of others
      stop      these tokens must end: their trees, then say reaped; bound ones
                by the supervisor. Reservations are given back by the session
      lost      the session is over: what runs is to be gone in `left_s`
      late      it is time to end what runs (R2), nobody having been heard
      limbo     WELCOME: `limbo` lists leases to be proven or released
    """

    def __init__(self, endpoint, project, wire=Dealer, lock=None, **identity):
        self.wire = wire(endpoint)
        self.lock = lock            # RUNTIME/broker.lock, for R9
        self.project = project
        self.identity = {**this_host(), **identity}
        self.events = collections.deque()
        self.broker = None          # its id
        self.epochs = {}            # broker id: highest epoch seen
        self.slots = {}             # token: `idle`, `tree` or `bound`
        self.news = 0               # of trees, so far
        self.limbo = {}             # token: row of WELCOME
        self.requests = {}          # seq: Request
        self.calls = []             # Unanswered, oldest first
        self.over = False
        self.silent_since = None
        self._begin()

    # -- what a supervisor says

    def request(self, count, **more):
        """Ask for slots; the seq of the request."""
        seq = len(self.requests) + 1
        self.requests[seq] = Request(more.get("bound", False))
        self._say("REQUEST", seq=seq, count=count, **more)
        return seq

    def ask_again(self, seq, count, **more):
        """Where does it stand? A REQ client learns its position this way."""
        return self._say("REQUEST", seq=seq, count=count, **more)

    def cancel(self, seq):
        return self._say("CANCEL", seq=seq)

    def cancel_all(self):
        return self._say("CANCEL", all=True)

    def cookie(self, tokens):
        """SLOTBUS_COOKIE for the environment of the tree under these tokens.
        On its own host the broker finds a tree by it, or by its cgroup; what
        has neither counts as gone as soon as the session does."""
        return "%s:%d" % (self.broker, min(tokens))

    def started(self, tokens, pid, **more):
        """A tree runs under these tokens: now only reaped ends them."""
        self.slots.update({token: "tree" for token in tokens if token in self.slots})
        return self._say("STARTED", tokens=tokens, pid=pid, seq=self._news(), **more)

    def reaped(self, tokens, **more):
        """The tree is gone, and that was verified."""
        return self._say("REAPED", tokens=tokens, seq=self._news(), **more)

    def _news(self):
        """The number of this news of a tree: a resend keeps it."""
        self.news += 1
        return self.news

    def release(self, tokens):
        """Slots without a tree go back."""
        return self._say("RELEASE", tokens=tokens)

    def progress(self, token, **more):
        return self._say("PROGRESS", token=token, **more)

    def sample(self, **metrics):
        """How this host is, each `sample_ms` of WELCOME."""
        return self._say("SAMPLE", at_ms=int(time.time() * 1000), **metrics)

    def bye(self):
        return self._say("BYE")

    # -- time

    def clock(self):
        """R1: the clock that leases are counted by; WELCOME says which."""
        return time.clock_gettime(time.CLOCK_MONOTONIC if self.welcome.get("own_host")
                                  else time.CLOCK_BOOTTIME)

    @property
    def deadline(self):
        """R2: when every tree is gone, by clock (). SIGKILL is K before it,
        SIGTERM G + K before. Only after WELCOME."""
        return self.anchor + self._seconds("ttl_ms") - self._seconds("drift_ms")

    def _seconds(self, key):
        return self.welcome.get(key, 0) / 1000

    def _beat_s(self):
        return self._seconds("beat_ms") if self.welcome else FIRST_HELLO_S

    # -- turning

    def until(self, true, timeout_s):
        """Turn until `true` answers something true, which is returned."""
        end = time.monotonic() + timeout_s
        while True:
            answer = true()
            if answer or time.monotonic() >= end:
                return answer
            self.turn(end - time.monotonic())

    def turn(self, timeout_s):
        """Send what is due and wait for what comes, but not for longer than
        until the next thing is due."""
        self._send_due()
        wait = min(timeout_s, max(0.001, self.due_at - time.monotonic()))
        message = self.wire.receive(wait)
        while message:
            self.silent_since = None
            self._take(message)
            message = self.wire.receive(0) if self.wire.kind == zmq.DEALER else None
        self._watch_deadline()
        self._send_due()

    def close(self):
        self.wire.close()

    def _begin(self):
        """A new nonce: what is said with it opens a session."""
        self.nonce = random_id()
        self.session = None
        self.welcome = None
        self.hellos = 0
        self.anchor = None           # R1, by clock ()
        self.hello_at = None         # the same, by both clocks
        self.more_limbo = False      # WELCOME had no room for all
        self.beat_seq = 0
        self.beats = {}              # seq: when it was sent, by clock ()
        self.acks = {}               # seq of a request: first BEAT with it
        self.due_at = 0              # next HELLO or BEAT, CLOCK_MONOTONIC
        self.looked_at = None
        self.was_late = False

    def _say(self, verb, **body):
        call = Unanswered({"verb": verb, **body})
        self.calls.append(call)
        return call

    def _send(self, message):
        if not self.wire.send(message):
            return False
        if self.silent_since is None:
            self.silent_since = time.monotonic()
        return True

    def _send_due(self):
        now = time.monotonic()
        if self.silent_since is not None and now - self.silent_since > 3 * self._beat_s():
            self.wire.renew()
            self.silent_since = None
        if self.over:
            self.due_at = now + FIRST_HELLO_S
            return
        if now >= self.due_at:
            self._beat(now) if self.session else self._hello(now)
        if self.session:
            self._send_calls(now)

    def _hello(self, now):
        """Each half second, later rarer, with jitter."""
        sent_at = time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME)
        if not self._send_hello():
            self.due_at = now + FIRST_HELLO_S / 50
            return
        self.hello_at = self.hello_at or sent_at
        self.hellos += 1
        self.due_at = now + FIRST_HELLO_S * min(self.hellos, 10) * random.uniform(0.8, 1.2)

    def _send_hello(self):
        return self._send({"verb": "HELLO", "nonce": self.nonce, "project": self.project,
                           **self.identity, "broker": self.broker,
                           "epoch": self.epochs.get(self.broker),
                           "holds": sorted(self.slots) or None})

    def _beat(self, now):
        seq, sent_at = self.beat_seq + 1, self.clock()
        acks = sorted(self.acks)[:64]
        if not self._send({"verb": "BEAT", "session": self.session, "seq": seq,
                           "epoch": self.epochs[self.broker],
                           "holds": sorted(self.slots) or None, "acks": acks or None}):
            self.due_at = now + self._beat_s() / 10
            return
        self.beat_seq, self.beats[seq] = seq, sent_at
        for request in acks:
            self.acks[request] = self.acks[request] or seq
        phase = random.random() if seq == 1 else 1
        self.due_at = now + self._beat_s() * phase
        if self.more_limbo and not self.limbo:
            self._send_hello()

    def _send_calls(self, now):
        """What is unanswered for H, and what was not sent yet; no request
        that is too far above one without an answer."""
        open_seqs = [c.message["seq"] for c in self.calls if c.message["verb"] == "REQUEST"]
        for call in self.calls:
            if call.sent_at is not None and now - call.sent_at < self._beat_s():
                continue
            if (call.message["verb"] == "REQUEST"
                    and call.message["seq"] >= min(open_seqs) + WINDOW):
                continue
            if not self._send({**call.message, "session": self.session}):
                return
            call.sent_at = now

    # -- what comes

    def _take(self, message):
        take = getattr(self, "_take_" + message["verb"].lower(), None)
        if take and self._is_for_us(message):
            take(message)

    def _is_for_us(self, message):
        """R7: of this session, and of no epoch below the highest seen."""
        verb = message["verb"]
        if verb == "WELCOME":
            fits = (message["nonce"] == self.nonce
                    and self.session in (None, message["session"]))
            broker = message["broker"]
        else:
            fits = message.get("session", self.session) == self.session
            broker = self.broker if self.session else None
        if not fits or message.get("epoch", 2 ** 32) < self.epochs.get(broker, 0):
            return False
        if broker and "epoch" in message:
            self.epochs[broker] = message["epoch"]
        return True

    def _answered(self, answer):
        """The message that this answers; it is not sent again."""
        for call in self.calls:
            if is_answer(answer, call.message):
                call.answer = answer
                self.calls.remove(call)
                return call.message
        return None

    def _event(self, name, message):
        self.events.append((name, message))

    def _take_welcome(self, welcome):
        self.limbo = {row["token"]: row for row in welcome.get("limbo", [])}
        self.more_limbo = len(self.limbo) == 64
        for token in self.limbo:
            self.slots.pop(token, None)
        if self.limbo:
            self._event("limbo", welcome)
        if not self.session:
            if welcome["broker"] != self.broker:
                self.slots.clear()       # tokens mean nothing under another id
            self.welcome, self.session = welcome, welcome["session"]
            self.broker = welcome["broker"]
            self.anchor = self.hello_at[0 if welcome.get("own_host") else 1]
            self.due_at = 0

    def _take_beat_ok(self, beat_ok):
        newest = beat_ok["seq"]
        if newest in self.beats:
            self.anchor = max(self.anchor, self.beats[newest])
            self.was_late = False
        self.beats = {seq: at for seq, at in self.beats.items() if seq > newest}
        self.acks = {seq: beat for seq, beat in self.acks.items()
                     if beat is None or beat > newest}
        for row in beat_ok.get("grants", []):
            self._take_grant({**row, "verb": "GRANT", "asked": None})
        for seq in beat_ok.get("expired", []):
            self._close(seq, {"verb": "ERROR", "re": "REQUEST", "seq": seq, "error": "EXPIRED"})
            self.acks.setdefault(seq, None)
        stops = beat_ok.get("stops", [])
        for row in beat_ok.get("endings", []):
            self._take_stop({**row, "verb": "STOP", "tokens": stops[:row["count"]]})
            stops = stops[row["count"]:]
        if stops:                        # unknown to the broker
            self._take_stop({"verb": "STOP", "tokens": stops,
                             "grace_ms": self.welcome.get("grace_ms", 0)})

    def _take_grant(self, grant):
        """Taken once, acknowledged each time."""
        self._answered(grant)
        request = self.requests.get(grant["seq"])
        if request is None or request.closed:
            return
        self.acks.setdefault(grant["seq"], None)
        if request.tokens:
            return
        request.answer = grant
        request.tokens = list(range(grant["first"], grant["first"] + grant["count"]))
        kind = "bound" if request.bound else "idle"
        self.slots.update({token: kind for token in request.tokens})
        self._event("granted", grant)

    def _take_queued(self, queued):
        self._answered(queued)
        request = self.requests.get(queued["seq"])
        if request and request.waits:
            request.answer = queued
            self._event("queued", queued)

    def _take_released(self, released):
        self._answered(released)
        for token in released.get("tokens", []) + released.get("expired", []):
            self.slots.pop(token, None)
            self.limbo.pop(token, None)
        for token in released.get("kept", []):
            self.slots[token] = "idle"

    def _take_ok(self, ok):
        message = self._answered(ok)
        if message and message["verb"] == "CANCEL":
            for token in ok.get("tokens", []):
                self.slots.pop(token, None)
            for seq, request in self.requests.items():
                if message.get("all") and request.waits or seq == message.get("seq"):
                    self._close(seq, ok)
        if message and message["verb"] == "BYE":
            self.over = True

    def _take_stop(self, stop):
        """What runs is for the supervisor to end; what is idle, or not known
        here, just goes back."""
        idle = [token for token in stop["tokens"] if self.slots.get(token, "idle") == "idle"]
        for token in idle:
            self.slots.pop(token, None)
        waiting = {t for c in self.calls if c.message["verb"] == "RELEASE"
                   for t in c.message["tokens"]}
        idle = [token for token in idle if token not in waiting]
        if idle:
            self.release(idle)
        self._event("stop", stop)

    def _take_error(self, error):
        leaving = any(call.message["verb"] == "BYE" and call.sent_at for call in self.calls)
        self._answered(error)
        if error["error"] == "NO_SESSION" and leaving:
            self.over = True    # BYE was heard, whatever this answers: as good as OK
            return
        if error["error"] == "NO_SESSION":
            self._lose()
            return
        if error.get("re") == "HELLO" and error["error"] not in ("RATE", "HOST_CONFLICT"):
            self.over = True    # those two may pass
        if error.get("re") == "REQUEST" and error["error"] != "CONFLICT":
            self._close(error.get("seq"), error)
        self._event("refused", error)

    def _close(self, seq, answer):
        request = self.requests.get(seq)
        if request and request.waits:
            request.closed, request.answer = True, answer

    def _lose(self):
        """The session is over, and with it whatever was asked in it."""
        if not self.session:
            return              # of the session before
        for seq in self.requests:
            self._close(seq, None)
        self.calls = []
        self._event("lost", {"tokens": sorted(self.slots),
                             "left_s": self.deadline - self.clock()})
        self._begin()

    # -- R2 and R9

    def _watch_deadline(self):
        if not self.session:
            return
        now = self.clock()
        if (self.lock and self.welcome.get("own_host") and self.looked_at
                and nobody_holds(self.lock)):
            self.anchor += now - self.looked_at
        self.looked_at = now
        ending_s = self._seconds("grace_ms") + self._seconds("kill_confirm_ms")
        if now > self.deadline - ending_s and not self.was_late:
            self.was_late = True
            self._event("late", {"tokens": sorted(self.slots)})


def this_host():
    """What HELLO says of this machine and process."""
    def line(path):
        try:
            with open(path) as f:
                return f.read().strip()
        except OSError:
            return ""
    name, machine = os.uname().nodename, line("/etc/machine-id")
    return {"host": name if machine else name + "-nameless",
            "machine": machine or name,
            "boot": line("/proc/sys/kernel/random/boot_id"),
            "pid": os.getpid(),
            "start": int(line("/proc/self/stat").rsplit(")", 1)[1].split()[19])}


def nobody_holds(path):
    """R9: a query, never an attempt. What cannot be opened counts as held."""
    flock = "hhqqi4x"
    try:
        with open(path, "rb") as f:
            asked = struct.pack(flock, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            found = fcntl.fcntl(f, fcntl.F_OFD_GETLK, asked)
            return struct.unpack(flock, found)[0] == fcntl.F_UNLCK
    except OSError:
        return False


# ---- what people ask --------------------------------------------------------

class Refused(Exception):
    """An ERROR; `error` is its name, `message` all of it."""

    def __init__(self, message):
        super().__init__("%s %s" % (message["error"], message.get("detail", "")))
        self.error, self.message = message["error"], message


def call(endpoint, message, timeout_s=30.0, again_s=1.0):
    """Ask, again with a new socket after `again_s`, until there is an answer."""
    wire = Req(endpoint)
    end = time.monotonic() + timeout_s
    try:
        while time.monotonic() < end:
            if not wire.send(message):      # nobody is connected yet
                time.sleep(0.01)
                continue
            answer = wire.receive(again_s)
            if answer and answer["verb"] == "ERROR":
                raise Refused(answer)
            if answer:
                return answer
            wire.renew()
    finally:
        wire.close()
    raise TimeoutError("no answer from " + endpoint)


def status(endpoint, project=None, **options):
    """All pages of one snapshot, as one STATUS_OK."""
    lists = ("hosts", "projects", "agents", "queue")
    page = call(endpoint, {"verb": "STATUS", "project": project}, **options)
    whole = {**page, **{name: list(page.get(name, [])) for name in lists}}
    while "next" in page:
        page = call(endpoint, {"verb": "STATUS", "project": project,
                               "snapshot": page["snapshot"], "cursor": page["next"]}, **options)
        for name in lists:
            whole[name] += page.get(name, [])
    whole.pop("next", None)
    return whole


def kill(endpoint, project, meanwhile=None, every_s=0.1, timeout_s=60.0, **choice):
    """End a project's agents; the last KILL_OK, which has `done` unless time
    ran out. `meanwhile` is called between two askings."""
    question = {"verb": "KILL", "id": random_id(), "project": project, **choice}
    end = time.monotonic() + timeout_s
    while True:
        answer = call(endpoint, question)
        if answer.get("done") or choice.get("dry_run") or time.monotonic() >= end:
            return answer
        meanwhile() if meanwhile else time.sleep(every_s)


def set_max(endpoint, slots):
    return call(endpoint, {"verb": "SET_MAX", "max_slots": slots})


# ---- topics -----------------------------------------------------------------

class Subscriber:
    """Keeps the last value of each topic. Every value is complete: after a gap
    there is nothing to be done."""

    def __init__(self, endpoint, prefix=""):
        self.values = {}      # topic: message
        self.socket = zmq.Context.instance().socket(zmq.SUB)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RECONNECT_IVL, 100)
        self.socket.setsockopt_string(zmq.SUBSCRIBE, prefix)
        self.socket.connect(endpoint)

    def receive(self, timeout_s):
        """(topic, message, how it follows the one before), or None. How:
        `first`, `next`, `gap` (those between are lost, this one is the state),
        `repetition` (nothing new), `epoch` (the broker started anew), `gone`
        (the topic ends, and its numbers with it)."""
        if not self.socket.poll(max(0, int(timeout_s * 1000))):
            return None
        topic, *frames = self.socket.recv_multipart()
        message = decode(frames)
        if message is None:
            return None
        topic = topic.decode("utf-8", "surrogateescape")
        if message.get("gone"):
            self.values.pop(topic, None)
            return topic, message, "gone"
        how = follows(self.values.get(topic), message)
        self.values[topic] = message
        return topic, message, how

    def close(self):
        self.socket.close()


def follows(before, message):
    if before is None:
        return "first"
    if message["epoch"] != before["epoch"]:
        return "epoch"
    step = message["number"] - before["number"]
    return "next" if step == 1 else "gap" if step > 1 else "repetition"
