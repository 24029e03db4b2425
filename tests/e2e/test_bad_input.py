# SPDX-License-Identifier: MPL-2.0
"""Bad messages: every answer names what is wrong and where, and changes
nothing. Frames and bodies are sent as they are to a real broker, over a DEALER
and over a REQ, and to a shim.
"""
import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import struct
import subprocess

import msgpack

from bad_messages import MESSAGES, NO_MAPS, STATUS, body_of, faults_of, pack, text
from harness import DEADLINE, Skip, alive, case, main, program, wait_until
from seed import by, day, supervisor
from slotbus_client import MAGIC, Client, Session, host_identity

CLIENT = pathlib.Path(__file__).resolve().parent / "slotbus_client.py"

# Nobody has to beat in these cases.
TIMING = {"beat": "2s", "ttl": "60s", "lock_delay": "5s"}


# ---- a peer that may say anything ----

class Peer(Client):
    def read(self, timeout):
        if not self.socket.poll(int(timeout * 1000)):
            return None
        frames = self.socket.recv_multipart()
        frames = frames[frames[:1] == [b""]:]
        assert len(frames) == 2 and frames[0] == MAGIC, frames
        return msgpack.unpackb(frames[1], unicode_errors="surrogateescape")

    def ask(self, body, magic=MAGIC):
        """Send it; the one answer."""
        self.send_body(body, magic)
        answer = self.read(DEADLINE)
        assert answer is not None, "no answer to %r" % body[:200]
        return answer

    def settle(self):
        """There was one answer. What a DEALER is pushed in addition, because
        it has spoken for a session, is news and no answer."""
        self.send("STATUS")
        while True:
            message = self.read(DEADLINE)
            if message["verb"] == "STATUS_OK":
                return
            assert not self.req and message["verb"] in ("QUEUED", "GRANT", "STOP"), message

    def say(self, verb, **keys):
        return self.ask(pack({"verb": verb, **keys}))


def peers(place):
    """One that may be pushed to, and one that gets one answer each."""
    for req in (False, True):
        peer = Peer(place.endpoint, req=req)
        yield peer
        peer.settle()
        peer.close()


def refused(answer, error, key=None, detail="", **others):
    """It is this ERROR, and it says what was expected."""
    assert (answer["verb"], answer.get("error")) == ("ERROR", error), (answer, error)
    if key is not None:
        assert answer.get("key", "") == key, (answer, key)
    assert re.search(detail, answer.get("detail", "")), (answer, detail)
    for name, value in others.items():
        assert answer.get(name) == value, (answer, name, value)


# ---- what must not change ----

def state(place):
    """All that STATUS says but time, figures of the machine and counters."""
    client = Peer(place.endpoint)
    whole = client.status()
    client.close()
    for row in whole.get("hosts", []):
        for name in set(row) - {"host", "max_slots", "effective", "in_use"}:
            del row[name]
    for row in whole.get("agents", []) + whole.get("queue", []):
        for name in ("age_ms", "since_ms", "memory_bytes", "cpu_ms", "eta_low_s", "eta_high_s"):
            row.pop(name, None)
    return {name: whole.get(name) for name in (
        "epoch", "broker", "policy", "max_slots", "effective", "in_use", "queue_total", "hosts",
        "projects", "agents", "queue", "learning", "disk_full")}


@contextlib.contextmanager
def unchanged(place):
    before = state(place)
    yield
    assert state(place) == before, (before, state(place))


def counts(place, broker):
    """What the broker has counted: {"dropped": 12, "refused": 400}. Ends it."""
    client = Peer(place.endpoint)
    inside = client.status().get("refused", 0)
    client.close()
    broker.signal(signal.SIGTERM)
    assert broker.wait_exit() == 0, broker.text()
    line = broker.wait_line(r"\] stop .*").string
    found = {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", line)}
    found["refused"] += inside
    return found


class Scene:
    """A broker at work. consilio holds 1 and 2 (idle), 3 (a tree) and has
    given 4 back; odin holds 5; zeus waits for five."""

    def __init__(self, place, **changes):
        place.configure(timing=TIMING, projects={"consilio": {}, "odin": {"max": 5}}, **changes)
        self.broker = place.broker()
        self.mine = Session(place.endpoint, "consilio", beating=False)
        self.mine.granted(4)
        self.mine.call("STARTED", "OK", session=self.mine.session, tokens=[3], pid=os.getpid())
        self.mine.release([4])
        self.other = Session(place.endpoint, "odin", beating=False)
        self.other.granted(1)
        self.third = Session(place.endpoint, "zeus", beating=False)
        self.third.request(5)
        self.third.wait("QUEUED", seq=1)
        for session in (self.mine, self.other, self.third):
            place.at_end(session.close)


# ---- frames ----

NO_MESSAGES = {
    "another magic": [b"HTTP", STATUS],
    "a magic in small letters": [b"slt1", STATUS],
    "a longer magic": [b"SLT10", STATUS],
    "a magic alone": [MAGIC],
    "an empty frame": [b""],
    "an empty body": [MAGIC, b""],
    "a frame too many": [MAGIC, STATUS, STATUS],
    "a delimiter that is not empty": [b"x", MAGIC, STATUS],
    "two delimiters": [b"", b"", MAGIC, STATUS],
    "a hundred frames": [MAGIC] * 100,
    "the body first": [STATUS, MAGIC],
}


@case
def what_is_no_message_is_dropped_and_counted(place):
    scene = Scene(place)
    with unchanged(place):
        for what, frames in NO_MESSAGES.items():
            for before in ([], [b""]):      # as a DEALER, as a REQ
                peer = Peer(place.endpoint)
                peer.socket.send_multipart(before + frames)
                answer = peer.ask(STATUS)
                assert answer["verb"] == "STATUS_OK", (what, answer)
                peer.close()
    assert counts(place, scene.broker)["dropped"] >= 2 * len(NO_MESSAGES)


@case
def the_largest_body_is_taken_and_a_larger_one_costs_the_connection(place):
    Scene(place)
    padding = 65536 - len(pack({"verb": "STATUS", "unknown": "x" * 60000})) + 60000
    largest = pack({"verb": "STATUS", "unknown": "x" * padding})
    assert len(largest) == 65536
    with unchanged(place):
        for peer in peers(place):
            assert peer.ask(largest)["verb"] == "STATUS_OK"
        peer = Peer(place.endpoint)
        peer.send_body(largest + b"\xc0")
        wait_until(lambda: peer.read(0.05) or peer.send("STATUS"), "an answer over a new connection")
        peer.close()


@case
def another_version_is_told_what_is_spoken(place):
    Scene(place)
    with unchanged(place):
        for peer in peers(place):
            for digit in b"029x\0":
                refused(peer.ask(STATUS, b"SLT" + bytes([digit])), "BAD_VERSION", "", r"\bSLT1\b")


# ---- msgpack ----

@case
def what_is_not_one_map_is_a_bad_frame_with_its_place(place):
    scene = Scene(place)
    with unchanged(place):
        for peer in peers(place):
            for what, (body, detail) in NO_MAPS.items():
                try:
                    refused(peer.ask(body), "BAD_FRAME", "", detail)
                except AssertionError as why:
                    raise AssertionError(what) from why
    assert counts(place, scene.broker)["refused"] >= 2 * len(NO_MAPS)


@case
def eight_levels_and_keys_of_another_version_are_taken(place):
    Scene(place)
    for peer in peers(place):
        for more in (b"\x91" * 7 + b"\xc0", b"\xcb\x7f\xf8" + bytes(6), b"\xc4\x01x", b"\xa1\xff"):
            answer = peer.ask(b"\x82" + STATUS[1:] + b"\xa1a" + more)
            assert answer["verb"] == "STATUS_OK", answer


@case
def a_verb_that_is_none_is_named(place):
    Scene(place)
    said_here = {verb for verb, (origin, _) in MESSAGES.items() if origin != "CLIENT"}
    assert {"WELCOME", "HEALTH", "SPAWN"} <= said_here
    with unchanged(place):
        for peer in peers(place):
            for value in (1, None, True, 1.5, b"STATUS", [], {}):
                refused(peer.ask(b"\x81\xa4verb" + pack(value)), "BAD_ARG", "verb", "expected a string")
            refused(peer.ask(b"\x80"), "BAD_ARG", "verb", "missing")
            refused(peer.ask(pack({"max_slots": 3})), "BAD_ARG", "verb", "missing")
            for verb in ("DANCE", "", "status", "STATUS ", "STATUS\0", "NONE", "?", "x" * 300, "\udcff"):
                refused(peer.say(verb), "UNKNOWN_VERB", "verb", "no such verb")
            for verb in sorted(said_here):  # there are, but nobody says them to a broker
                refused(peer.ask(body_of(verb)), "UNKNOWN_VERB", None, "broker", re=verb)


# ---- every key of every verb ----

@case
def every_fault_of_every_key_of_every_verb_is_named(place):
    scene = Scene(place)
    verbs = [verb for verb, (origin, _) in MESSAGES.items() if origin == "CLIENT"]
    sent = 0
    with unchanged(place):
        for verb in verbs:
            for peer in peers(place):
                for body, key, detail in faults_of(verb):
                    answer = peer.ask(body)
                    try:
                        refused(answer, "BAD_ARG", key, detail, re=verb)
                    except AssertionError as why:
                        raise AssertionError("%s %s" % (verb, body)) from why
                    sent += 1
    print("# %d faults of %d verbs" % (sent, len(verbs)))
    assert sent > 2 * 400
    assert counts(place, scene.broker)["refused"] >= sent


@case
def a_refusal_says_which_request_it_answers(place):
    Scene(place)
    for peer in peers(place):
        refused(peer.say("REQUEST", session=1, seq=77, count=0), "BAD_ARG", "count", re="REQUEST", seq=77)
        refused(peer.say("REQUEST", session=1, seq=2**63, count=1), "BAD_ARG", "seq", re="REQUEST", seq=None)
        refused(peer.say("BEAT", session=7, epoch=1, seq=78), "NO_SESSION", re="BEAT", seq=78, session=7)


@case
def a_number_may_come_in_any_form(place):
    Scene(place)
    forms = (b"\x06", b"\xcc\x06", b"\xcd\x00\x06", b"\xce" + struct.pack(">I", 6),
             b"\xcf" + struct.pack(">Q", 6), b"\xd0\x06", b"\xd1\x00\x06", b"\xd3" + struct.pack(">q", 6))
    for peer in peers(place):
        for form in forms:
            assert peer.ask(body_of("SET_MAX", "max_slots", form))["max_slots"] == 6


# ---- texts ----

@case
def a_long_text_is_cut_and_not_refused(place):
    """Each text is sent far too long, in a message that something else
    refuses: a session or project that is not there, or a list that is none."""
    Scene(place)
    other_fault = {"HELLO": ("runs", "x", "BAD_ARG"), "KILL": ("project", "nobody", "NOT_FOUND"),
                   "PAUSE": ("project", "nobody", "NOT_FOUND"), "RESUME": ("project", "nobody", "NOT_FOUND"),
                   "default": ("session", 12345, "NO_SESSION")}
    with unchanged(place):
        for peer in peers(place):
            for verb, (origin, keys) in MESSAGES.items():
                fault, value, error = other_fault.get(verb, other_fault["default"])
                for key in keys if origin == "CLIENT" else ():
                    if key.kind != "STR":
                        continue
                    if fault not in [k.name for k in keys]:
                        continue    # a verb without a session whose texts are tested elsewhere
                    refused(peer.ask(body_of(verb, **{key.name: "x" * 5000, fault: value})), error, re=verb)


# Escape, bell, delete, C1, overlong, half a pair, bidirectional, quote.
NASTY = (b"\x1b[31m\x07\x7f\xc2\x9b2J\xff\xc0\xaf\xed\xa0\x80\xe2\x80\xae\xe2\x81\xa6\xe2\x80\x8f\"\\'\r\n\tend")
BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def assert_printable(what, raw):
    """Valid UTF-8 that no terminal obeys."""
    shown = raw.decode("utf-8")
    bad = [c for c in shown if c != "\n" and (c in BIDI or ord(c) < 32 or 0x7f <= ord(c) < 0xa0)]
    assert not bad, (what, bad, shown)


def output_of(place, *argv, **env):
    """(stdout, stderr) as bytes; neither may hurt who reads it."""
    done = subprocess.run([program("slotbus"), *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, env={**place.env, **env}, timeout=DEADLINE)
    for raw in (done.stdout, done.stderr):
        assert_printable(argv, raw)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@case
def texts_are_kept_as_bytes_up_to_their_size(place):
    place.configure(timing=TIMING)
    place.broker()
    nasty = text(NASTY)
    full = nasty + "x" * (256 - len(NASTY))
    split = "x" * 255 + "\u00e9"         # the 256th byte is half a character
    for peer in peers(place):
        session = Session(place.endpoint, "t", beating=False, successor=True,
                          nonce=random.randrange(1, 2**63), display="T" + "\u00e9" * 40)
        say = lambda verb, **keys: peer.say(verb, session=session.session, **keys)
        token = say("REQUEST", seq=1, count=1, run=True, labels="a")["first"]
        for label, kept in ((nasty, nasty), (full, full), (full + "more", full), (split, "x" * 255)):
            assert say("PROGRESS", token=token, label=label, note=label)["verb"] == "OK"
            agent, = peer.say("STATUS", project="t")["agents"]
            assert (agent["label"], agent["note"]) == (kept, kept), agent
        assert say("STARTED", tokens=[token], pid=1, label=full + "more")["verb"] == "OK"
        whole = peer.say("STATUS", project="t")
        assert whole["agents"][0]["label"] == full
        assert whole["projects"][0]["display"] == "T" + "\u00e9" * 31
        assert say("REAPED", tokens=[token])["tokens"] == [token]
        session.close()


@day
def nothing_that_a_peer_wrote_reaches_a_terminal_as_it_is(place):
    place.configure(timing=TIMING)
    broker = place.broker(env={"SLOTBUS_HOST": text(NASTY)})
    nasty = text(NASTY)
    peer = Peer(place.endpoint)

    def stranger(project, **keys):
        welcome = peer.say("HELLO", **{**host_identity(), "nonce": random.randrange(1, 2**63),
                                       "project": project, "pid": os.getpid(), "display": nasty, **keys})
        assert welcome["verb"] == "WELCOME", welcome
        return welcome["session"]
    near = stranger("near")
    far = stranger("far", host=nasty + "2", machine=nasty, boot=nasty)
    for session in (near, far):
        grant = peer.say("REQUEST", session=session, seq=1, count=2, labels=nasty + "," + nasty)
        assert grant["verb"] == "GRANT", grant
        started = peer.say("STARTED", session=session, tokens=[grant["first"]], pid=1, label=nasty)
        assert started["verb"] == "OK", started
        for token in (grant["first"], grant["first"] + 1):
            peer.say("PROGRESS", session=session, token=token, note=nasty, label=nasty)
    seen = []
    for argv in (["status"], ["status", "near"], ["status", "far"], ["health"],
                 ["kill", "near", "--dry-run"], ["kill", "nobody", "--reason", nasty]):
        code, out, err = output_of(place, *argv)
        seen.append(out)
    assert "[31m" in seen[0] and "[31m" in seen[1], seen
    for argv in (["status", "--json"], ["status", "far", "--json"], ["health", "--json"]):
        code, out, err = output_of(place, *argv)
        for line in out.splitlines():
            json.loads(line)
        assert "[31m" in out, out
    # the reason of a kill: to who asked, to who loses work, into the log
    code, out, err = output_of(place, "kill", "near", "--token", str(grant["first"] - 1), "--reason", nasty)
    assert code == 0 and "Reason: " in out and "[31m" in out, (code, out, err)
    # and the commands that speak to a shim
    who = supervisor(place)
    assert output_of(place, "request", "p", "1", "--label", nasty, **by(who))[0] == 0
    code, out, err = output_of(place, "run", "-p", "p", "-l", nasty, "--", "/bin/true", **by(who))
    assert code == 0, err
    for argv in (["progress", "-p", "p", "-l", nasty, "5", "--note", nasty], ["progress", "-p", "p", nasty],
                 ["release", "p", nasty], ["request", nasty, "1"], [nasty], ["request", "p", "1", nasty],
                 ["request", "p", "1", "--" + nasty], ["run", "-p", "p", "--" + nasty],
                 ["kill", "p", "--label", nasty + "2"], ["cancel", "p", nasty], ["status", nasty],
                 ["set-max", nasty], ["set-policy", nasty], ["set-priority", "p", nasty], ["pause", nasty],
                 ["relieve", nasty], ["relieve", "--host", nasty], ["relieve", "--reason", nasty], ["status", "--victims"],
                 ["relieve", "--kill", "--json"],
                 ["pause", "p", "--reason", nasty], ["status"], ["resume", "p", "--reason", nasty], ["help", nasty], ["request", "p", "1", "--timeout", nasty],
                 ["release", "p", "--token", nasty]):
        output_of(place, *argv, **by(who))
    peer.close()
    broker.wait_line(r"\] kill .*reason=")
    assert broker.text("stdout") == ""
    assert_printable("the broker's log", broker.text().encode())
    log = os.path.join(place.runtime, "projects", "p", "shim.log")
    with open(log, "rb") as f:
        assert_printable("the shim's log", f.read())


@case
def no_reason_adds_keys_to_the_log(place):
    place.configure(timing=TIMING)
    broker = place.broker("--log-format", "json")
    session = Session(place.endpoint, "consilio", beating=False)
    session.call("KILL", "KILL_OK", id=5, project="consilio", reason='x" uid="4711" level="0" \\" pid="1')
    line = broker.wait_line(r'"event":"kill"').string
    pairs = json.loads(line, object_pairs_hook=list)
    assert len(pairs) == len(dict(pairs)) and ("uid", str(os.getuid())) in pairs, line
    assert "4711" in dict(pairs)["reason"], line
    session.close()


# ---- what a message means ----

def check_rows(place, scene, rows):
    """(sentence, verb, keys, error, key, detail): sent by both kinds of peer,
    answered so, and nothing is as it was not before."""
    sent = 0
    for peer in peers(place):
        for what, verb, keys, error, key, detail in rows:
            with unchanged(place):
                answer = peer.say(verb, **keys)
                try:
                    refused(answer, error, key, detail, re=verb)
                except AssertionError as why:
                    raise AssertionError(what) from why
                peer.settle()
            sent += 1
    assert scene.broker.process.poll() is None
    assert counts(place, scene.broker)["refused"] >= sent


def sessions_verbs():
    return [verb for verb, (origin, keys) in MESSAGES.items()
            if origin == "CLIENT" and "session" in [key.name for key in keys]]


@case
def who_names_no_session_or_an_unknown_one_is_told_to_say_hello(place):
    scene = Scene(place)
    rows = []
    for verb in sessions_verbs():
        keys = {key.name: key.good() for key in MESSAGES[verb][1] if key.required}
        if "tokens" in [key.name for key in MESSAGES[verb][1]]:
            keys["tokens"] = [1]
        rows.append(("an unknown session", verb, {**keys, "session": 4711}, "NO_SESSION", "", ""))
        rows.append(("no session", verb, {k: v for k, v in keys.items() if k != "session"},
                     "BAD_ARG", "session", "^missing$"))
    assert len(rows) >= 16
    check_rows(place, scene, rows)


@case
def requests_that_cannot_be_are_refused_by_their_kind(place):
    scene = Scene(place)
    mine, odin = {"session": scene.mine.session}, {"session": scene.other.session}
    zeus = {"session": scene.third.session, "seq": 1}
    check_rows(place, scene, [
        ("none", "REQUEST", {**odin, "seq": 9, "count": 0}, "BAD_ARG", "count", r"1\.\.10000, got 0"),
        ("less than none", "REQUEST", {**odin, "seq": 9, "count": -3}, "BAD_ARG", "count", "got -3"),
        ("half a slot", "REQUEST", {**odin, "seq": 9, "count": 1.5}, "BAD_ARG", "count",
         "an integer, got a float"),
        ("above any", "REQUEST", {**odin, "seq": 9, "count": 10001}, "BAD_ARG", "count", "got 10001"),
        ("above the pool", "REQUEST", {**mine, "seq": 9, "count": 9}, "EXCEEDS_MAX", "",
         "9 wanted, the limit is 8"),
        ("above the cap", "REQUEST", {**odin, "seq": 9, "count": 6}, "EXCEEDS_MAX", "", "odin may hold 5"),
        ("min above count", "REQUEST", {**odin, "seq": 9, "count": 2, "min": 3}, "BAD_ARG", "min",
         "at most count"),
        ("number 0", "REQUEST", {**odin, "seq": 0, "count": 1}, "BAD_ARG", "seq", "got 0"),
        ("more than wait", "REQUEST", {**zeus, "count": 7}, "CONFLICT", None, ""),
        ("other names", "REQUEST", {**zeus, "count": 5, "labels": "x"}, "CONFLICT", None, ""),
        ("another kind", "REQUEST", {**zeus, "count": 5, "bound": True}, "CONFLICT", None, ""),
        ("fewer than granted", "REQUEST", {**mine, "seq": 1, "count": 3}, "CONFLICT", None, ""),
        ("not to be had at once", "REQUEST", {**odin, "seq": 9, "count": 4, "nowait": True}, "NOT_NOW",
         None, "."),
        ("neither seq nor all", "CANCEL", odin, "BAD_ARG", "seq", "a seq, or all"),
    ])


@case
def slots_that_are_not_to_be_released_or_proven(place):
    scene = Scene(place)
    odin = {"session": scene.other.session}
    mine = {"session": scene.mine.session}
    rows = [("no tokens", verb, {**mine, "tokens": [], **more}, "BAD_ARG", "tokens", "at least one")
            for verb, more in (("RELEASE", {}), ("REAPED", {}), ("STARTED", {"pid": 1}))]
    rows += [("another's", verb, {**odin, "tokens": [5, 1], **more}, "NOT_ALLOWED", None, "")
             for verb, more in (("RELEASE", {}), ("REAPED", {}), ("STARTED", {"pid": 1}))]
    rows += [
        ("never granted", "STARTED", {**mine, "tokens": [999], "pid": 1}, "NOT_FOUND", None, ""),
        ("closed already", "STARTED", {**mine, "tokens": [4], "pid": 1}, "EXPIRED", None, ""),
        ("nobody in particular", "PROGRESS", {**mine, "percent": 5}, "BAD_ARG", "token",
         "a token or a label"),
        ("another's agent", "PROGRESS", {**odin, "token": 1, "percent": 5}, "NOT_FOUND", None, ""),
        ("never granted", "PROGRESS", {**mine, "token": 999, "percent": 5}, "NOT_FOUND", None, ""),
        ("phase 5 of 4", "PROGRESS", {**mine, "token": 1, "phase": 5, "phases": 4}, "BAD_ARG", "phase",
         "at most phases"),
        ("phase 5 of none", "PROGRESS", {**mine, "token": 1, "phase": 5}, "BAD_ARG", "phase",
         "at most phases"),
        ("101 %", "PROGRESS", {**mine, "token": 1, "percent": 100.5}, "BAD_ARG", "percent", r"0\.\.100"),
        ("-1 %", "PROGRESS", {**mine, "token": 1, "percent": -1}, "BAD_ARG", "percent", r"0\.\.100"),
    ]
    check_rows(place, scene, rows)


@case
def what_was_not_released_is_said(place):
    scene = Scene(place)
    with unchanged(place):
        for peer in peers(place):
            released = peer.say("RELEASE", session=scene.mine.session, tokens=[3, 4, 999])
            assert (released["verb"], released.get("tokens")) == ("RELEASED", None), released
            assert (released["busy"], released["expired"], released["unknown"], released["held"]) == (
                [3], [4], [999], 3), released
            proven = peer.say("REAPED", session=scene.mine.session, tokens=[4, 999])
            assert (proven.get("tokens"), proven["expired"], proven["unknown"]) == (None, [4], [999]), proven


@case
def beats_of_the_past_are_answered_with_the_present(place):
    scene = Scene(place)
    session = scene.mine.session
    for peer in peers(place):
        number = 100 if not peer.req else 200
        ok = peer.say("BEAT", session=session, epoch=7, seq=number, holds=[1, 2, 3])
        assert (ok["verb"], ok["epoch"], ok["seq"]) == ("BEAT_OK", 1, number), ok
        with unchanged(place):
            for seq in (1, number - 1, number):     # names nothing, and changes nothing
                for _ in range(3):
                    ok = peer.say("BEAT", session=session, epoch=1, seq=seq)
                    assert (ok["verb"], ok["seq"], ok.get("stops")) == ("BEAT_OK", number, None), ok
            ok = peer.say("BEAT", session=session, epoch=1, seq=number + 1, holds=[1, 2, 3, 4, 5, 999])
            assert ok["stops"] == [4, 5, 999], ok
    # a token above all that were given: this state would be older than that
    scene.broker.wait_line(r"above_mark .*token=999")


@case
def a_hello_that_contradicts_is_told_what(place):
    scene = Scene(place)
    mine = scene.mine.hello_keys
    fresh = {**mine, "nonce": 4711}
    check_rows(place, scene, [
        ("beside a living one", "HELLO", fresh, "CONFLICT", None,
         "has a shim on this host: pid %d" % os.getpid()),
        ("this nonce for another project", "HELLO", {**mine, "project": "odin"}, "CONFLICT", None, ""),
        ("this nonce from another boot", "HELLO", {**mine, "boot": "x"}, "CONFLICT", None, ""),
        ("the name of another machine", "HELLO", {**fresh, "project": "x", "machine": "m", "boot": "b"},
         "CONFLICT", "host", "SLOTBUS_HOST"),
        ("a token that was never given", "HELLO", {**fresh, "project": "x", "holds": [999]}, "NOT_FOUND",
         "holds", ""),
        ("without a host", "HELLO", {**fresh, "host": ""}, "BAD_ARG", "host", ""),
        ("without a machine", "HELLO", {**fresh, "machine": ""}, "BAD_ARG", "machine", ""),
        ("without a boot", "HELLO", {**fresh, "boot": ""}, "BAD_ARG", "boot", ""),
    ])


@case
def a_hello_over_a_new_connection_is_the_same_session_there(place):
    scene = Scene(place)
    with unchanged(place):
        for peer in peers(place):
            welcome = peer.say("HELLO", **scene.third.hello_keys)
            assert (welcome["verb"], welcome["session"]) == ("WELCOME", scene.third.session), welcome
    new = Peer(place.endpoint)
    new.call("HELLO", "WELCOME", **scene.third.hello_keys)
    scene.mine.release([1])     # there are five now
    assert new.wait("GRANT", seq=1)["session"] == scene.third.session
    assert not [m for m in scene.third.inbox if m["verb"] == "GRANT"] and not scene.third.read(0)
    new.close()


@case
def a_copy_of_a_living_host_is_alarmed_and_gets_nothing(place):
    scene = Scene(place)
    far = Session(place.endpoint, "odin", host="vm2", machine="m2", boot="b2")
    place.at_end(far.close)
    for peer in peers(place):
        refused(peer.say("HELLO", **{**far.hello_keys, "nonce": 4711, "boot": "another", "successor": True}),
                "HOST_CONFLICT", None, "machine-id", re="HELLO")
        answer = peer.say("REQUEST", session=far.session, seq=50, count=1)
        assert (answer["verb"], answer["reason"]) == ("QUEUED", "PAUSED"), answer
    far.beat_ok()               # it lives: that was no reboot
    scene.broker.wait_line(r"host_conflict .*project=odin")
    assert state(place)["in_use"] == 4      # and nobody loses anything


@case
def a_copy_of_the_brokers_own_host_is_alarmed_at_once(place):
    scene = Scene(place)
    machine = scene.mine.hello_keys["machine"]
    own = os.path.join(place.state, "host-id")      # of a broker without a machine-id
    if os.path.exists(own):
        with open(own) as f:
            machine = f.read().strip()
    for peer in peers(place):
        refused(peer.say("HELLO", **{**scene.mine.hello_keys, "nonce": 4711, "machine": machine, "boot": "another"}),
                "HOST_CONFLICT", None, "machine-id", re="HELLO")
    scene.broker.wait_line(r"host_conflict .*project=consilio")
    scene.mine.beat_ok()        # the kernel vouches for this one
    assert state(place)["in_use"] == 4


@case
def set_max_below_use_drains_and_ends_nobody(place):
    scene = Scene(place)
    held = state(place)["agents"]
    for peer in peers(place):
        answer = peer.say("SET_MAX", max_slots=2)
        assert (answer["verb"], answer["max_slots"], answer["in_use"]) == ("SET_MAX_OK", 2, 4), answer
        assert state(place)["agents"] == held
        refused(peer.say("SET_MAX", max_slots=0), "BAD_ARG", "max_slots", r"1\.\.10000, got 0")
        refused(peer.say("SET_MAX", max_slots=-5), "BAD_ARG", "max_slots", "got -5")
        refused(peer.say("SET_MAX", max_slots=10001), "BAD_ARG", "max_slots", "got 10001")
        assert state(place)["max_slots"] == 2
    # what waits can not be had any more, and is told so
    refused(scene.third.wait("ERROR", seq=1, errors=False), "EXCEEDS_MAX", None, "the limit is now 2")


@case
def kills_of_what_is_not_there(place):
    scene = Scene(place)
    other = Session(place.endpoint, "idle", beating=False)
    place.at_end(other.close)
    peer = Peer(place.endpoint)
    first = peer.say("KILL", id=77, project="idle")
    assert (first["verb"], first["done"], first.get("slots", 0), first.get("agents", 0)) == ("KILL_OK",
                                                                                             True, 0, 0)
    assert peer.say("KILL", id=77, project="idle") == first
    peer.close()
    check_rows(place, scene, [
        ("an unknown project", "KILL", {"id": 1, "project": "consillio"}, "NOT_FOUND", "project",
         "is it consilio?"),
        ("nothing like it", "KILL", {"id": 1, "project": "zebra"}, "NOT_FOUND", "project",
         "no project zebra: slots.yaml does not name it, and nobody has asked for it$"),
        ("a token never granted", "KILL", {"id": 1, "project": "consilio", "token": 999}, "NOT_FOUND",
         "token", ""),
        ("another's token", "KILL", {"id": 1, "project": "consilio", "token": 5}, "NOT_FOUND", "token", ""),
        ("a closed token", "KILL", {"id": 1, "project": "consilio", "token": 4}, "NOT_FOUND", "token", ""),
        ("an unknown label", "KILL", {"id": 1, "project": "consilio", "label": "x"}, "NOT_FOUND", "label",
         ""),
        ("this id for another project", "KILL", {"id": 77, "project": "consilio"}, "CONFLICT", None, ""),
        ("this id for one of them", "KILL", {"id": 77, "project": "idle", "label": "x"}, "CONFLICT", None,
         ""),
        ("a grace of two hours", "KILL", {"id": 1, "project": "odin", "grace_ms": 7200000}, "BAD_ARG",
         "grace_ms", ""),
        ("status of an unknown project", "STATUS", {"project": "consilo"}, "NOT_FOUND", "project",
         "is it consilio?"),
        ("a page of no snapshot", "STATUS", {"snapshot": 999999}, "EXPIRED", None, ""),
    ])


@case
def changes_of_the_schedule_that_cannot_be(place):
    scene = Scene(place)
    check_rows(place, scene, [
        ("no such policy", "SET_POLICY", {"policy": "fare"}, "BAD_ARG", "policy", r"is it fair\?$"),
        ("nothing like it", "SET_POLICY", {"policy": "zebra"}, "BAD_ARG", "policy",
         "expected fifo, fair or priority$"),
        ("another's case", "SET_POLICY", {"policy": "Fair"}, "BAD_ARG", "policy", "is it fair"),
        ("a long policy", "SET_POLICY", {"policy": "fifo" * 100}, "BAD_ARG", "policy", "expected fifo"),
        ("a priority above all", "SET_PRIORITY", {"project": "consilio", "priority": 1001}, "BAD_ARG",
         "priority", r"0\.\.1000, got 1001"),
        ("an unknown project", "SET_PRIORITY", {"project": "consillio", "priority": 1}, "NOT_FOUND",
         "project", "is it consilio?"),
        ("pausing an unknown project", "PAUSE", {"project": "consillio"}, "NOT_FOUND", "project",
         "is it consilio?"),
        ("resuming an unknown project", "RESUME", {"project": "zebra"}, "NOT_FOUND", "project",
         "no project zebra: slots.yaml does not name it, and nobody has asked for it$"),
    ])


@case
def a_kill_that_is_repeated_has_one_answer(place):
    Scene(place)
    for peer in peers(place):
        id_ = 5 + peer.req
        first = peer.say("KILL", id=id_, project="consilio", token=1 + peer.req)
        assert (first["verb"], first["done"], first["released"]) == ("KILL_OK", True, 1), first
        assert [peer.say("KILL", id=id_, project="consilio",
                         token=1 + peer.req) for _ in range(3)] == [first] * 3
    assert [agent["token"] for agent in state(place)["agents"] if agent["project"] != "zeus"] == [3, 5]


# ---- somebody else ----

NOBODY = 65534
AS_NOBODY = """
import json, sys
sys.path.insert(0, sys.argv[1])
from slotbus_client import *
endpoint, session, tokens, verbs = sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4]), json.loads(sys.argv[5])
client = Client(endpoint)
def error(verb, **keys):
    client.send(verb, **keys)
    answer = client.wait(errors=False)
    say(verb, keys=sorted(keys), error=answer.get("error", answer["verb"]))
for verb, keys in verbs.items():
    error(verb, **{**keys, "session": session})
own = Session(endpoint, "theirs", beating=False)
error("HELLO", **{**own.hello_keys, "project": "consilio", "nonce": 1})
error("RELEASE", session=own.session, tokens=tokens)
error("RELEASE", session=own.session, tokens=tokens, force=True)
error("RELEASE", tokens=tokens, force=True)
error("REAPED", session=own.session, tokens=tokens)
error("STARTED", session=own.session, tokens=tokens, pid=1)
error("KILL", id=3, project="consilio")
error("KILL", id=3, project="consilio", token=tokens[0])
error("SET_MAX", max_slots=1)
error("SET_POLICY", policy="fair")
error("SET_PRIORITY", project="theirs", priority=9)
error("RELIEVE", id=4)
error("RELIEVE", id=5, kill=True)
error("PAUSE", project="consilio", reason="so that mine go on")
error("RESUME", project="consilio")
"""


@case
def what_is_another_users_is_not_to_be_had(place):
    if os.getuid() != 0:
        raise Skip("needs root, to be another user")
    place.configure(timing=TIMING, projects={"consilio": {}, "theirs": {"uids": [NOBODY]}})
    broker = place.broker()
    mine = Session(place.endpoint, "consilio", beating=False)
    tokens = mine.granted(2)
    for path, mode in ((place.path, 0o755), (place.runtime, 0o711), (place.runtime + "/broker", 0o666)):
        os.chmod(path, mode)
    shutil.copy(CLIENT, place.path)
    verbs = {verb: {key.name: key.good() for key in MESSAGES[verb][1] if key.required}
             for verb in sessions_verbs()}
    verbs["CANCEL"]["all"] = True
    verbs["RELEASE"]["tokens"] = verbs["STARTED"]["tokens"] = verbs["REAPED"]["tokens"] = tokens
    with unchanged(place):
        # its session is its own, and gone from the picture when it ends
        before = state(place)
        done = subprocess.run(["/usr/bin/python3", "-B", "-c", AS_NOBODY, place.path, place.endpoint,
                               str(mine.session), json.dumps(tokens), json.dumps(verbs)],
                              stdout=subprocess.PIPE, preexec_fn=lambda: os.setuid(NOBODY),
                              timeout=DEADLINE, check=True)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(answers) == len(verbs) + 15, answers
        assert not [a for a in answers if a["error"] != "NOT_ALLOWED"], answers
        assert before["agents"] == state(place)["agents"]
    audited = re.findall(r"\] refused .*uid=%d .*error=NOT_ALLOWED" % NOBODY, broker.text())
    assert len(audited) >= 10, broker.text()    # of some kinds no more than ten a second
    mine.close()


# ---- the shim's own sockets ----

def knock(path, packet, answers=None):
    """What a connection hears that sends this packet: so many answers, and then
    nothing more; if None, it is hung up on."""
    heard = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.settimeout(DEADLINE)
        s.connect(path)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        s.send(packet)
        while True:
            if answers == len(heard):
                s.shutdown(socket.SHUT_WR)
            try:
                got = s.recv(1 << 17)
            except ConnectionResetError:
                return heard
            if not got:
                return heard
            heard.append(got)


def answer_of(path, packet):
    answer, = knock(path, packet, 1)
    return msgpack.unpackb(answer[4:])


KEEPER = struct.Struct("=IIQIiqiIqqqqqQQ96s256s257s257s")
KEEPER_MAGIC, ATTACH, STARTED, EXITED, REAPED, REFUSE = 0x31504b53, 1, 2, 3, 4, 7


def keeper_packet(kind, token, cookie=b"x", magic=KEEPER_MAGIC, pad=True, **texts):
    packed = KEEPER.pack(magic, kind, token, 1, os.getpid(), 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, cookie,
                         texts.get("cgroup", b""), texts.get("label", b""), texts.get("reason", b""))
    return packed + bytes(-len(packed) % 8 if pad else 0)


@day
def garbage_on_the_shims_sockets_does_not_hurt_it(place):
    place.configure()
    place.broker()
    who = supervisor(place)
    shim = place.start("slotbus", "shim", "-p", "p", "--watch", str(who.pid))
    shim.wait_line(r"\bready\b")
    assert place.run("slotbus", "request", "p", "2", env=by(who))[0] == 0
    agent = place.start("slotbus", "run", "-p", "p", "--own-slot", "--", "/bin/sh", "-c", "echo up; read x",
                        env=by(who), stdin=subprocess.PIPE)
    agent.wait_line("up", "stdout")
    wait_until(lambda: [a for a in state(place)["agents"] if a.get("pid")], "the broker knows of the tree")
    commands_, keepers = (os.path.join(place.runtime, "projects/p", name) for name in ("shim", "keepers"))
    assert {os.stat(path).st_mode & 0o777 for path in (commands_, keepers)} == {0o600}
    rng = random.Random(4)
    garbage = [b"x", b"SLT", b"SLT1", b"SLT2" + STATUS, b"HTTP/1.1", STATUS, b"SLT1\x80",
               b"SLT1" + STATUS[:-1],
               b"SLT1" + b"x" * 65536, b"SLT1" + b"x" * 65537, *(b"SLT1" + body for body,
                                                                 _ in NO_MAPS.values()),
               *(b"SLT1" + rng.randbytes(rng.randrange(1, 300)) for _ in range(100)),
               *(rng.randbytes(rng.randrange(1, 300)) for _ in range(100))]
    for verb in ("REQUEST", "RELEASE", "CANCEL", "PARK", "PROGRESS", "SPAWN", "OK"):
        garbage += [b"SLT1" + body for body, _, _ in faults_of(verb)]
    with unchanged(place):
        for packet in garbage:
            assert not knock(commands_, packet), packet
        for packet in [*garbage, bytes(KEEPER.size),
                       *(rng.randbytes(len(keeper_packet(1, 1))) for _ in range(50)),
                       keeper_packet(ATTACH, 1,
                                     magic=1), *(keeper_packet(kind, 3) for kind in (0, 5, 6, 7, 99)),
                       keeper_packet(ATTACH, 1)[:-1], keeper_packet(ATTACH, 1) + b"x",
                       keeper_packet(ATTACH, 1, cookie=b"x" * 96), keeper_packet(ATTACH, 1,
                                                                                 label=b"x" * 257)]:
            assert not knock(keepers, packet), packet
        # well-formed, and not theirs to say
        for token in (1, 3, 999, 2**64 - 1):
            for kind in (STARTED, EXITED, REAPED):
                assert not knock(keepers, keeper_packet(kind, token), 0), kind
            refusal, = knock(keepers, keeper_packet(ATTACH, token))
            assert struct.unpack_from("=II", refusal) == (KEEPER_MAGIC, REFUSE)
    assert alive(shim.pid)
    with unchanged(place):
        for verb, (origin, _) in MESSAGES.items():
            if verb not in ("REQUEST", "RELEASE", "CANCEL", "PARK", "PROGRESS", "SPAWN", "OK"):
                refused(answer_of(commands_, MAGIC + body_of(verb)), "UNKNOWN_VERB", None, "", re=verb)
        for verb, keys, error in (
                ("REQUEST", {"project": "q", "seq": 1, "count": 1}, "NOT_ALLOWED"),
                ("REQUEST", {"project": "p", "seq": 1, "count": 513}, "EXCEEDS_MAX"),
                ("RELEASE", {}, "BAD_ARG"),
                ("PARK", {"tokens": [1]}, "NOT_FOUND"),
                ("PROGRESS", {"percent": 5}, "NOT_FOUND"),
                ("PROGRESS", {"token": 999, "percent": 5}, "NOT_FOUND"),
                ("PROGRESS", {"token": 1, "phase": 5, "phases": 4}, "BAD_ARG"),
                ("PROGRESS", {"token": 1, "percent": 101}, "BAD_ARG")):
            refused(answer_of(commands_, MAGIC + pack({"verb": verb, **keys})), error, re=verb)
    for _ in range(300):        # and who comes and goes without a word
        for path in (commands_, keepers):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
                s.connect(path)
    agent.process.stdin.close()
    assert agent.wait_exit() == 1   # of `read`
    assert place.run("slotbus", "run", "-p", "p", "--", "/bin/sh", "-c", "exit 5", env=by(who))[0] == 5
    assert place.run("slotbus", "release", "p", "2", env=by(who))[:2] == (0, "Released 2 slots of p")
    assert alive(shim.pid)


main()
