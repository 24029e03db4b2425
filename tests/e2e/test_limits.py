# SPDX-License-Identifier: MPL-2.0
"""How much one connection may say, and what that costs nobody else."""
import re
import resource
import signal
import socket
import time

import zmq

from harness import SHORT, Skip, case, main, wait_until
from slotbus_client import Client, Session

FLOOD = 200     # messages said between two looks at what has come
DESCRIPTORS = r'"level":%d,.*"event":"descriptors","used":"(\d+)","limit":"1024"'


def served(place):
    """One more client, from its connection to its answer."""
    client = Client(place.endpoint)
    try:
        return client.call("STATUS", "STATUS_OK")
    finally:
        client.close()


def counted(broker):
    """What the broker says at its end of all that came in."""
    broker.signal(signal.SIGTERM)
    assert broker.wait_exit() == 0
    line = broker.wait_line(r"\bstop\b.*").group(0)
    return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", line)}


def nonsense(client, count):
    for _ in range(count):
        client.send_body(b"\x80", magic=b"NOPE")


def no_session(client, session):
    """What another connection says in the session's name is refused so."""
    client.send("BEAT", session=session.session, epoch=session.epoch, seq=1000)
    return client.wait(deadline=5, errors=False).get("error") == "NO_SESSION"


# ---- too much ----

@case
def a_flood_is_refused_and_costs_nobody_else_anything(place):
    place.configure(message_rate=100, timing=SHORT)
    broker = place.broker()
    flooder = Session(place.endpoint, "loud")
    sent = heard = 0
    rates = []

    def flood():
        nonlocal sent, heard
        for _ in range(FLOOD):
            flooder.send("STATUS")
        sent += FLOOD
        flooder.keep()
        heard += sum(m["verb"] == "STATUS_OK" for m in flooder.inbox)
        rates.extend(m for m in flooder.inbox if m.get("error") == "RATE")
        assert not [m for m in flooder.inbox if m.get("error") not in (None, "RATE")]
        flooder.inbox.clear()

    beats = []
    took = flooder.took
    flooder.took = lambda m: (took(m), m["verb"] == "BEAT_OK" and beats.append(m["seq"]))
    # for as long as twice the time after which a silent session is lost
    end = time.monotonic() + 2 * flooder.welcome["ttl_ms"] / 1000
    while time.monotonic() < end or not rates:
        flood()
        served(place)
    answered = len(beats)
    wait_until(lambda: len(beats) > answered + 3, "beats are answered to the end",
               meanwhile=flood)
    assert rates[0]["re"] == "STATUS" and "100 messages a second" in rates[0]["detail"], rates[0]
    assert heard + len(rates) < sent / 2, (heard, len(rates), sent)
    seen = counted(broker)
    assert "] lost " not in broker.text(), broker.text()
    assert seen["flooded"] > 0 and seen["muted"] == 0, seen


@case
def what_was_refused_for_the_rate_can_be_said_again(place):
    place.configure(message_rate=100)
    place.broker()
    session = Session(place.endpoint, "loud")
    for _ in range(1000):
        session.send("STATUS")
    seq = session.request(2)
    refused = session.wait("ERROR")
    assert refused["error"] == "RATE", refused

    def granted():
        session.send("REQUEST", session=session.session, seq=seq, count=2)
        try:
            return session.wait("GRANT", deadline=1, errors=False, seq=seq)
        except AssertionError:
            return None
    assert wait_until(granted, "the request is granted")["count"] == 2


@case
def refusal_names_the_message(place):
    place.configure(message_rate=10)
    place.broker()
    session = Session(place.endpoint, "loud", beating=False)
    for seq in range(1, 60):
        session.send("REQUEST", session=session.session, seq=seq, count=9)  # more than there are
    refused = session.wait("ERROR", error="RATE", errors=False)
    assert refused["re"] == "REQUEST", refused
    # the one before it got through
    session.wait("ERROR", error="EXCEEDS_MAX", errors=False, seq=refused["seq"] - 1)


@case
def a_reload_changes_the_rate(place):
    place.configure(message_rate=10)
    broker = place.broker()
    client = Client(place.endpoint)
    for _ in range(100):
        client.send("STATUS")
    assert client.wait("ERROR")["error"] == "RATE"
    place.configure(message_rate=100000)
    broker.signal(signal.SIGHUP)
    broker.wait_line(r"\breload\b")
    client = Client(place.endpoint)
    for _ in range(100):
        client.send("STATUS")
    for _ in range(100):
        client.wait("STATUS_OK")


# ---- no messages at all ----

@case
def ten_malformed_messages_cost_the_session_and_mute_the_connection(place):
    broker = place.broker()
    session = Session(place.endpoint, "odd")
    tokens = session.granted(1)
    nonsense(session, 9)
    session.beat_ok()
    other = Client(place.endpoint)
    nonsense(session, 1)
    broker.wait_line(r"\blost\b.*session=%d .*reason=malformed" % session.session)
    assert no_session(other, session)

    session.inbox.clear()
    while session.read(0) is not None:
        pass                            # what it was told before
    session.send("STATUS")              # in order, whatever the broker does with it
    anew = Session(place.endpoint, "odd", successor=True)
    anew.beat_ok()
    assert anew.granted(1) != tokens
    other.call("STATUS", "STATUS_OK")
    seen = counted(broker)
    assert session.read(0) is None
    assert seen["dropped"] == 10 and seen["muted"] >= 1, seen


@case
def every_shape_of_nonsense_counts(place):
    broker = place.broker()
    stranger = zmq.Context.instance().socket(zmq.DEALER)
    place.at_end(stranger.close, 0)
    stranger.connect(place.endpoint)
    shapes = ([b""], [b"SLT1"], [b"SLT1", b""], [b"SLT1", b"\x80", b"more", b"and more"],
              [b"NOPE", b"\x80"], [b"", b"", b""], [b"SLT12", b"\x80"], [b"x", b"SLT1", b"\x80"],
              [b"slt1", b"\x80"])
    for frames in shapes:
        stranger.send_multipart(frames)
    served(place)
    assert "muted" not in broker.text()
    stranger.send_multipart([b"NOPE"])
    broker.wait_line(r"\bmuted\b.*uid=\d+ pid=\d+")
    served(place)
    assert counted(broker)["dropped"] == 10


@case
def what_is_answered_is_not_malformed(place):
    broker = place.broker()
    client = Client(place.endpoint)
    for _ in range(20):
        client.send_body(b"\x80", magic=b"SLT9")
        assert client.wait("ERROR")["error"] == "BAD_VERSION"
        client.send_body(b"\xc1")
        assert client.wait("ERROR")["error"] == "BAD_FRAME"
    client.call("STATUS", "STATUS_OK")
    assert counted(broker)["muted"] == 0


# ---- too many ----

def connect_many(path, count):
    opened = []
    for _ in range(count):
        opened.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        opened[-1].settimeout(10)
        opened[-1].connect(path)
    return opened


@case
def descriptors_that_run_out_are_logged_before_they_do(place):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1100:
        raise Skip("this process may open only %d files" % hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1100), hard))
    place.at_end(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
    broker = place.broker(
        "--log-format", "json",
        preexec=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024)))
    served(place)
    assert "descriptors" not in broker.text()
    opened = connect_many(place.endpoint[len("ipc://"):], 900)
    place.at_end(lambda: [s.close() for s in opened])
    used = broker.wait_line(DESCRIPTORS % 4)    # a warning
    assert int(used.group(1)) >= 820, used.string
    served(place)
    for one in opened:
        one.close()
    fewer = broker.wait_line(DESCRIPTORS % 6)
    assert int(fewer.group(1)) < 717, fewer.string
    assert len(re.findall(r'"descriptors"', broker.text())) == 2, broker.text()


if __name__ == "__main__":
    main()
