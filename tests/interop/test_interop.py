# SPDX-License-Identifier: MPL-2.0
"""A client written from PROTOCOL.md alone, and the real broker: they agree."""
import os
import random
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

import zmq

import slt1
from harness import DEADLINE, SHORT, case, free_port, main
from slt1 import Dealer, Req

PUSHED = ("GRANT", "QUEUED", "STOP", "ERROR")


def both(function):
    """Two cases: the same as a DEALER and as a REQ."""
    for wire in (Dealer, Req):
        def run(place, wire=wire):
            function(place, wire)
        run.__name__ = "%s_as_%s" % (function.__name__, wire.__name__.upper())
        case(run)
    return function


def equal(left, right):
    assert left == right, "%r is not %r" % (left, right)


def until(true, *sessions, what="what was waited for"):
    """Turn all these sessions until it is so."""
    end = time.monotonic() + DEADLINE
    while True:
        answer = true()
        if answer:
            return answer
        assert time.monotonic() < end, "it did not come: " + what
        for session in sessions:
            session.turn(0.005)


def join(place, project, wire=Dealer, endpoint=None, lock=None, **identity):
    """A session that has its WELCOME."""
    session = slt1.Session(endpoint or place.endpoint, project, wire=wire, lock=lock, **identity)
    place.at_end(session.close)
    until(lambda: session.session or session.over, session, what="WELCOME of " + project)
    return session


def elsewhere(name):
    """Identity of a host that is not the broker's."""
    return {"host": name, "machine": "machine of " + name, "boot": "boot of " + name, "pid": 77}


def granted(session, count, *others, **more):
    """The tokens of a new request, once they are granted."""
    seq = session.request(count, **more)
    return until(lambda: session.requests[seq].tokens, session, *others, what="GRANT")


def answered(session, call, *others):
    return until(lambda: call.answer, session, *others, what=call.message["verb"])


def events(session, name):
    """Those that are there; all others stay."""
    found = [message for kind, message in session.events if kind == name]
    for message in found:
        session.events.remove((name, message))
    return found


def event(session, name, *others):
    return until(lambda: events(session, name), session, *others, what=name)[-1]


def refused(call, *arguments, **more):
    """The ERROR that this ends with."""
    try:
        answer = call(*arguments, **more)
    except slt1.Refused as error:
        return error.message
    raise AssertionError("not refused but %r" % (answer,))


def tree(place, cookie):
    """A process that the broker can find by its cookie."""
    return place.start("/bin/sleep", "1000", env={"SLOTBUS_COOKIE": cookie})


def end(program):
    program.signal(9)
    program.wait_exit()


class Raw:
    """Says exactly what it is told, and hands out exactly what comes."""

    def __init__(self, place, kind=zmq.DEALER, endpoint=None):
        self.socket = zmq.Context.instance().socket(kind)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(endpoint or place.endpoint)
        self.pushed = []
        place.at_end(self.socket.close)

    def send(self, *frames):
        self.socket.send_multipart(frames)

    def receive(self, timeout_s=DEADLINE):
        assert self.socket.poll(int(timeout_s * 1000)), "no message"
        frames = self.socket.recv_multipart()
        if frames[0] == b"":
            frames = frames[1:]
        return slt1.decode(frames)

    def ask(self, verb, **body):
        """The answer; what is pushed before it is put into `pushed`."""
        self.socket.send_multipart(slt1.encode({"verb": verb, **body}))
        while True:
            message = self.receive()
            ours = message.get("re", verb) == verb and message.get("seq") == body.get("seq")
            if message["verb"] not in PUSHED or ours:
                return message
            self.pushed.append(message)

    def body(self, raw):
        """The answer to these bytes as a body."""
        self.send(slt1.MAGIC, raw)
        return self.receive()

    def hello(self, project, **more):
        welcome = self.ask("HELLO", nonce=slt1.random_id(), project=project,
                           **{**slt1.this_host(), **more})
        equal(welcome["verb"], "WELCOME")
        return welcome


# ---- sessions ---------------------------------------------------------------

@both
def a_life_from_hello_to_bye(place, wire):
    place.broker()
    session = join(place, "odin", wire)
    for key, value in (("beat_ms", 50), ("ttl_ms", 10000), ("notice_ms", 50), ("grace_ms", 200),
                       ("kill_confirm_ms", 200), ("drift_ms", 50), ("linger_ms", 100)):
        equal(session.welcome[key], value)
    assert session.welcome["own_host"]
    equal(session.welcome["sample_ms"], 200)

    tokens = granted(session, 5, labels="auth,api")
    equal(tokens, list(range(tokens[0], tokens[0] + 5)))
    until(lambda: not session.acks, session, what="the acknowledgement")
    anchor = session.anchor
    until(lambda: session.anchor > anchor, session, what="a newer anchor")

    tree, rest = tokens[:1], tokens[1:]
    ok = answered(session, session.started(tree, pid=os.getpid()))
    equal((ok["verb"], ok["re"], ok["tokens"]), ("OK", "STARTED", tree))
    answered(session, session.progress(tree[0], phase=3, phases=4, note="nearly"))
    agents = {row["token"]: row for row in slt1.status(place.endpoint)["agents"]}
    equal(sorted(agents), tokens)
    row = agents[tree[0]]
    equal((row["project"], row["label"], row["state"], row["phase"], row["phases"], row["note"]),
          ("odin", "auth", "active", 3, 4, "nearly"))
    equal(agents[tokens[1]]["label"], "api")
    equal(agents[tokens[1]]["kind"], "reservation")
    assert "label" not in agents[tokens[2]]

    equal(answered(session, session.release(tree))["busy"], tree)
    released = answered(session, session.reaped(tree, status=0))
    equal((released["tokens"], released["held"]), (tree, 4))
    equal(answered(session, session.release(rest))["tokens"], rest)
    equal(session.slots, {})
    answered(session, session.bye())
    assert session.over
    equal(slt1.status(place.endpoint).get("in_use", 0), 0)


@both
def a_kill_reaches_the_holder_and_ends_when_it_has_proved(place, wire):
    place.broker()
    session = join(place, "odin", wire)
    tree = granted(session, 2)
    idle = granted(session, 1)
    waiting = session.request(8)
    until(lambda: session.requests[waiting].answer, session, what="QUEUED")
    answered(session, session.started(tree, pid=os.getpid()))

    dry = slt1.kill(place.endpoint, "odin", dry_run=True)
    equal(sorted(dry["tokens"]), sorted(tree + idle))
    asked = []

    def hold():
        session.turn(0.005)
        for stop in events(session, "stop"):
            if set(tree) <= set(stop["tokens"]) and not asked:
                asked.append(stop)
                state = slt1.status(place.endpoint, "odin")["agents"]
                equal({row["state"] for row in state if row["token"] in tree}, {"killing"})
                session.reaped(tree, status=143)

    done = slt1.kill(place.endpoint, "odin", meanwhile=hold, reason="a test")
    assert asked, "no STOP was heard"
    assert done["done"]
    equal((done["agents"], done["terminated"], done["slots"], done["released"], done["cancelled"]),
          (1, 1, 3, 3, 1))
    equal(asked[0].get("reason"), "a test")
    equal((asked[0]["notice_ms"], asked[0]["grace_ms"]), (50, 200))
    until(lambda: session.requests[waiting].closed, session, what="the request's end")
    until(lambda: not session.slots, session, what="nothing held")
    equal(refused(slt1.kill, place.endpoint, "nobody")["error"], "NOT_FOUND")


@both
def a_request_waits_and_knows_its_place(place, wire):
    place.broker()
    holder, waiter, later = join(place, "one"), join(place, "two", wire), join(place, "three", wire)
    everybody = (holder, waiter, later)
    tokens = granted(holder, 6, waiter, later)

    def place_of(session, seq, count, **expected):
        """The newest QUEUED; a REQ has to ask for it."""
        def there():
            if wire is Req and not session.calls:
                session.ask_again(seq, count)
            answer = session.requests[seq].answer or {}
            return all(answer.get(key, 0) == value for key, value in expected.items()) and answer
        return until(there, *everybody, what="QUEUED with %r" % expected)

    first = waiter.request(5)
    queued = place_of(waiter, first, 5, position=1, slots_ahead=3)
    equal((queued["reason"], queued["count"]), ("SLOTS", 5))
    second = later.request(2)
    equal(place_of(later, second, 2, position=2, slots_ahead=5)["reason"], "TURN")
    row = slt1.status(place.endpoint)["queue"][0]
    equal((row["project"], row["position"], row["slots_ahead"], row["reason"]),
          ("two", 1, 3, "SLOTS"))

    answered(holder, holder.release(tokens[:1]), *everybody)
    place_of(waiter, first, 5, position=1, slots_ahead=2)
    answered(holder, holder.release(tokens[1:3]), *everybody)
    until(lambda: waiter.requests[first].tokens, *everybody, what="the first GRANT")
    place_of(later, second, 2, position=1, slots_ahead=2)
    ok = answered(later, later.cancel(second), *everybody)
    equal((ok["count"], ok["seq"]), (1, second))
    assert later.requests[second].closed
    equal(answered(later, later.cancel(second), *everybody).get("count", 0), 0)


@both
def a_restarted_broker_knows_everybody(place, wire):
    # with a ttl that is longer than the 5 s between two tries to connect
    broker = place.broker()
    session = join(place, "odin", wire, lock=os.path.join(place.runtime, "broker.lock"))
    tokens = granted(session, 8)
    answered(session, session.started(tokens[:1], pid=os.getpid()))
    waiting = session.request(3)
    until(lambda: session.requests[waiting].answer, session, what="QUEUED")
    before, epoch = session.session, session.epochs[session.broker]
    deadline = session.deadline
    end(broker)
    # R9: a dead broker costs nothing on its own host.
    until(lambda: session.clock() > deadline, session, what="the old deadline")
    equal(events(session, "late"), [])
    place.broker()
    until(lambda: session.epochs[session.broker] == epoch + 1, session, what="the new epoch")
    equal(session.session, before)
    equal(sorted(session.slots), tokens)
    answered(session, session.release(tokens[1:]))
    until(lambda: session.requests[waiting].tokens, session, what="the old request's GRANT")
    assert session.requests[waiting].tokens[0] > tokens[-1]


@case
def a_beat_with_an_old_epoch_is_answered_with_the_new(place):
    broker = place.broker()
    raw = Raw(place)
    session = raw.hello("odin")
    tokens = raw.ask("REQUEST", session=session["session"], seq=1, count=2)
    equal(tokens["verb"], "GRANT")
    equal(raw.ask("BEAT", session=session["session"], epoch=1, seq=1)["grants"],
          [{"seq": 1, "first": tokens["first"], "count": 2}])
    end(broker)
    place.broker()
    raw = Raw(place)
    again = raw.ask("REQUEST", session=session["session"], seq=1, count=2)
    equal((again["verb"], again["first"], again["epoch"]), ("GRANT", tokens["first"], 2))
    beat_ok = raw.ask("BEAT", session=session["session"], epoch=1, seq=2, acks=[1],
                      holds=[tokens["first"], tokens["first"] + 1])
    equal((beat_ok["epoch"], beat_ok["seq"]), (2, 2))
    assert "grants" not in beat_ok and "stops" not in beat_ok


@both
def a_successor_takes_over_and_proves(place, wire):
    place.broker()
    first = join(place, "odin", wire)
    tokens = granted(first, 3, supervisor=os.getpid())
    sleeps = tree(place, first.cookie(tokens[:1]))
    answered(first, first.started(tokens[:1], pid=sleeps.pid))
    rival = join(place, "odin", wire)
    assert rival.over
    equal(events(rival, "refused")[0]["error"], "CONFLICT")

    second = join(place, "odin", wire, successor=True, runs=tokens[:1])
    assert second.session != first.session
    equal(sorted(second.limbo), tokens)
    row = second.limbo[tokens[0]]
    equal((row["tree"], row["cookie"], row["supervisor"]), (True, tokens[0], os.getpid()))
    assert not second.limbo[tokens[1]].get("tree") and not second.limbo[tokens[1]].get("bound")
    status = slt1.status(place.endpoint, "odin")
    equal({row["state"] for row in status["agents"]}, {"limbo"})
    equal(status["projects"][0]["limbo"], 3)
    event(first, "lost", second)
    first.close()
    end(sleeps)
    released = answered(second, second.reaped(tokens[:1]))
    equal(slt1.named(released), set(tokens[:1]))     # or the broker saw it itself
    equal(answered(second, second.release(tokens[1:]))["tokens"], tokens[1:])
    equal(second.limbo, {})
    equal(slt1.status(place.endpoint).get("in_use", 0), 0)


@case
def limbo_of_more_than_64_comes_in_parts(place):
    place.configure(max_slots=100, max_per_project=100)
    place.broker()
    first = join(place, "odin")
    tokens = granted(first, 70, supervisor=os.getpid())
    second = join(place, "odin", successor=True)
    equal(sorted(second.limbo), tokens[:64])
    answered(second, second.release(tokens[:64]))
    until(lambda: sorted(second.limbo) == tokens[64:], second, what="the rest of the limbo")
    answered(second, second.release(tokens[64:]))
    equal(slt1.status(place.endpoint).get("in_use", 0), 0)


@case
def a_remote_successor_is_told_all_that_was_said(place):
    place.configure(timing={"lock_delay": "60s"})
    place.broker()
    first = join(place, "odin", **elsewhere("vm2"))
    tokens = granted(first, 2, run=True, supervisor=4711, start=99)
    answered(first, first.started(tokens, pid=1234, cgroup="/user.slice/one"))
    bound = granted(first, 1, bound=True, supervisor=4711, start=99)
    second = join(place, "odin", successor=True, **elsewhere("vm2"))
    whose = {"supervisor": 4711, "start": 99}
    equal([second.limbo[token] for token in tokens],
          [{"token": token, **whose, "tree": True, "cookie": tokens[0],
            "cgroup": "/user.slice/one"} for token in tokens])
    equal(second.limbo[bound[0]], {"token": bound[0], **whose, "bound": True})
    equal(answered(second, second.release(tokens))["busy"], tokens)
    equal(answered(second, second.reaped(tokens))["tokens"], tokens)
    equal(answered(second, second.release(bound))["tokens"], bound)


@case
def a_remote_session_ends_by_time(place):
    place.configure(timing=SHORT)
    place.broker()
    session = join(place, "odin", **elsewhere("vm2"))
    assert not session.welcome.get("own_host")
    tokens = granted(session, 2)
    answered(session, session.started(tokens, pid=1234))
    late_at = session.deadline - 0.4     # G + K
    number, session.wire.send = session.session, lambda message: False   # a cable is out
    event(session, "late")
    assert session.clock() >= late_at
    del session.wire.send

    def states():
        return {row["state"] for row in slt1.status(place.endpoint, "odin")["agents"]}
    until(lambda: states() == {"limbo"}, what="LIMBO")
    lost = event(session, "lost")
    equal(lost["tokens"], tokens)
    assert lost["left_s"] < 0
    until(lambda: session.session, session, what="a new session")
    assert session.session != number
    until(lambda: not slt1.status(place.endpoint).get("in_use"), session, what="the lock-delay")


@case
def after_no_session_what_is_still_held_is_named_and_proven(place):
    place.configure(timing=SHORT)
    place.broker()
    session = join(place, "odin")
    tokens = granted(session, 3, supervisor=os.getpid())
    sleeps = tree(place, session.cookie(tokens[:1]))
    answered(session, session.started(tokens[:1], pid=sleeps.pid))
    until(lambda: not session.acks, session, what="the acknowledgement")
    until(lambda: {row["state"] for row in slt1.status(place.endpoint)["agents"]} == {"limbo"},
          what="the session is LOST")
    event(session, "lost")
    limbo = event(session, "limbo")["limbo"]
    equal([row["token"] for row in limbo], tokens)
    end(sleeps)
    answered(session, session.reaped(tokens[:1], status=137))
    answered(session, session.release(tokens[1:]))
    equal(slt1.status(place.endpoint).get("in_use", 0), 0)
    assert granted(session, 1)[0] > tokens[-1]


@case
def a_broker_that_lost_its_state_adopts_what_is_named(place):
    place.configure(timing=SHORT)
    broker = place.broker()
    session = join(place, "odin")
    tokens = granted(session, 3, supervisor=os.getpid())
    sleeps = tree(place, session.cookie(tokens[:1]))
    answered(session, session.started(tokens[:1], pid=sleeps.pid))
    before, ours = session.session, session.broker
    end(broker)
    os.remove(os.path.join(place.state, "state.db"))
    place.broker("--accept-state-loss")
    until(lambda: session.session not in (None, before), session, what="another session")
    equal((session.broker, session.epochs[ours]), (ours, 2))
    waiting = session.request(1)
    until(lambda: session.requests[waiting].answer, session, what="QUEUED")
    equal(session.requests[waiting].answer["reason"], "LEARNING")
    until(lambda: session.requests[waiting].tokens, session, what="that it has learned")
    assert session.requests[waiting].tokens[0] > tokens[-1]
    equal(events(session, "stop"), [])
    equal(sorted(session.slots), tokens + session.requests[waiting].tokens)
    end(sleeps)
    equal(answered(session, session.reaped(tokens[:1]))["tokens"], tokens[:1])


@case
def another_broker_knows_nothing_of_what_is_held(place):
    broker = place.broker()
    session = join(place, "odin")
    tokens = granted(session, 2)
    before, ours = session.session, session.broker
    end(broker)
    for name in os.listdir(place.state):
        os.remove(os.path.join(place.state, name))
    place.broker()
    until(lambda: session.session not in (None, before), session, what="another session")
    assert session.broker != ours
    equal(event(session, "lost")["tokens"], tokens)
    equal(session.slots, {})
    equal(granted(session, 1), tokens[:1])      # the same number is another slot


@case
def what_comes_late_or_for_others_changes_nothing(place):
    place.broker()
    session = join(place, "odin")
    waiting = session.request(1)
    ours, anchor, slots = session.session, session.anchor, dict(session.slots)
    session.epochs[session.broker] = 5
    grant = {"verb": "GRANT", "session": ours, "epoch": 5, "seq": waiting, "first": 9,
             "count": 1, "asked": 1}
    for message in ({**grant, "epoch": 4}, {**grant, "session": ours ^ 1}, {**grant, "seq": 7},
                    {"verb": "STOP", "session": ours, "epoch": 4, "tokens": [9]},
                    {"verb": "BEAT_OK", "session": ours, "epoch": 4, "seq": session.beat_seq},
                    {**session.welcome, "nonce": session.nonce ^ 1, "session": ours ^ 1},
                    {**session.welcome, "session": ours ^ 1}):
        session._take(message)
    equal((session.session, session.anchor, session.slots), (ours, anchor, slots))
    session.events.clear()
    session._take(grant)
    session._take(grant)
    session._take({**grant, "epoch": 6})
    equal((session.slots, len(events(session, "granted"))), ({9: "idle"}, 1))
    equal(session.epochs[session.broker], 6)


@case
def after_a_bye_trees_that_run_are_in_limbo(place):
    place.broker()
    raw = Raw(place)
    welcome = raw.hello("odin")
    session = welcome["session"]
    first = raw.ask("REQUEST", session=session, seq=1, count=3)["first"]
    sleeps = tree(place, "%s:%d" % (welcome["broker"], first))
    equal(raw.ask("STARTED", session=session, tokens=[first], pid=sleeps.pid)["verb"], "OK")
    raw.ask("REQUEST", session=session, seq=2, count=8)
    equal(raw.ask("BYE", session=session), {"verb": "OK", "re": "BYE"})
    equal(raw.ask("BYE", session=session)["error"], "NO_SESSION")
    status = slt1.status(place.endpoint)
    equal([(row["token"], row["state"]) for row in status["agents"]], [(first, "limbo")])
    equal(status["queue"], [])
    end(sleeps)
    until(lambda: not slt1.status(place.endpoint)["agents"], what="the broker's own proof")


def lossy(wire):
    """A wire that loses a third of all messages, each way, and sends some twice."""
    class Lossy(wire):
        chance = random.Random(20)

        def send(self, message):
            fate = self.chance.random()
            if fate < 1 / 3 and wire is Dealer:
                return True
            sent = super().send(message)
            return super().send(message) or sent if fate > 0.8 and wire is Dealer else sent

        def receive(self, timeout_s):
            message = super().receive(timeout_s)
            if not message or self.chance.random() > 1 / 3:
                return message
            self.waiting = True            # a REQ waits on until it gives up
            return None
    return Lossy


@both
def what_is_lost_is_said_again(place, wire):
    place.broker()
    session = join(place, "odin", lossy(wire))
    tokens = granted(session, 6)
    waiting = session.request(5)
    answered(session, session.started(tokens[:2], pid=os.getpid()))
    answered(session, session.progress(tokens[0], percent=50))
    gone = slt1.named(answered(session, session.reaped(tokens[:2])))
    gone |= slt1.named(answered(session, session.release(tokens[2:])))
    equal(gone, set(tokens))
    until(lambda: session.requests[waiting].tokens, session, what="the second GRANT")
    equal(sorted(session.slots), session.requests[waiting].tokens)
    status = slt1.status(place.endpoint)
    equal([row["token"] for row in status["agents"]], sorted(session.slots))
    answered(session, session.cancel_all())
    session.bye()
    until(lambda: session.over, session, what="the end")
    equal(slt1.status(place.endpoint)["agents"], [])


# ---- resends and refusals ---------------------------------------------------

@both
def what_is_said_again_is_answered_the_same(place, wire):
    place.broker()
    raw = Raw(place, wire.kind)
    hello = {"nonce": slt1.random_id(), "project": "odin", **slt1.this_host()}
    welcome = raw.ask("HELLO", **hello)
    equal(raw.ask("HELLO", **hello), welcome)
    equal(raw.ask("HELLO", **{**hello, "project": "other"})["error"], "CONFLICT")
    me = welcome["session"]

    grant = raw.ask("REQUEST", session=me, seq=1, count=6)
    equal((grant["verb"], grant["count"], grant["asked"]), ("GRANT", 6, 6))
    again = raw.ask("REQUEST", session=me, seq=1, count=6, nowait=True)
    equal((again["verb"], again["first"], again["count"]), ("GRANT", grant["first"], 6))
    conflict = raw.ask("REQUEST", session=me, seq=1, count=5)
    equal((conflict["error"], conflict["re"], conflict["seq"]), ("CONFLICT", "REQUEST", 1))

    queued = raw.ask("REQUEST", session=me, seq=2, count=5)
    equal((queued["verb"], queued["position"], queued["slots_ahead"]), ("QUEUED", 1, 3))
    equal(raw.ask("REQUEST", session=me, seq=2, count=5)["verb"], "QUEUED")
    ok = raw.ask("CANCEL", session=me, seq=2)
    equal((ok["verb"], ok["re"], ok["seq"], ok["count"]), ("OK", "CANCEL", 2, 1))
    equal(raw.ask("REQUEST", session=me, seq=2, count=5)["error"], "EXPIRED")
    equal(raw.ask("CANCEL", session=me, seq=2).get("count", 0), 0)
    equal(raw.ask("CANCEL", session=me)["error"], "BAD_ARG")
    beat_ok = raw.ask("BEAT", session=me, epoch=1, seq=1)
    equal(len(beat_ok["grants"]), 1)

    ok = raw.ask("CANCEL", session=me, seq=1)      # granted, never acknowledged
    tokens = list(range(grant["first"], grant["first"] + 6))
    equal((ok.get("count", 0), sorted(ok["tokens"])), (0, tokens))
    equal(raw.ask("REQUEST", session=me, seq=1, count=6)["error"], "EXPIRED")
    equal(raw.ask("RELEASE", session=me, tokens=tokens)["expired"], tokens)
    equal(raw.ask("REAPED", session=me, tokens=tokens)["expired"], tokens)
    equal(raw.ask("STARTED", session=me, tokens=tokens, pid=1)["error"], "EXPIRED")
    assert "grants" not in raw.ask("BEAT", session=me, epoch=1, seq=2)
    equal(raw.ask("BEAT", session=me, epoch=1, seq=2)["seq"], 2)
    equal(raw.ask("REQUEST", session=me, seq=3, count=1)["verb"], "GRANT")


@case
def what_can_never_be_or_not_now_is_refused(place):
    place.configure(max_per_project=6)
    place.broker()
    raw, other = Raw(place), Raw(place)
    me, they = raw.hello("odin")["session"], other.hello("consilio")["session"]
    equal(raw.ask("REQUEST", session=me, seq=1, count=9)["error"], "EXCEEDS_MAX")
    equal(raw.ask("REQUEST", session=me, seq=2, count=7)["error"], "EXCEEDS_MAX")
    taken = other.ask("REQUEST", session=they, seq=1, count=5)["first"]
    refusal = raw.ask("REQUEST", session=me, seq=3, count=4, nowait=True)
    equal(refusal["error"], "NOT_NOW")
    assert "SLOTS" in refusal["detail"], refusal
    some = raw.ask("REQUEST", session=me, seq=4, count=6, min=2)
    equal((some["verb"], some["count"], some["asked"]), ("GRANT", 3, 6))
    # Another's token: refused whole.
    mine = some["first"]
    for verb in ("RELEASE", "REAPED"):
        equal(raw.ask(verb, session=me, tokens=[mine, taken])["error"], "NOT_ALLOWED")
    equal(raw.ask("STARTED", session=me, tokens=[taken], pid=1)["error"], "NOT_ALLOWED")
    equal(raw.ask("STARTED", session=me, tokens=[99999], pid=1)["error"], "NOT_FOUND")
    answer = raw.ask("RELEASE", session=me, tokens=[mine, 99999])
    equal((answer["tokens"], answer["unknown"], answer["held"]), ([mine], [99999], 2))
    equal(raw.ask("PROGRESS", session=me, token=taken, percent=5)["error"], "NOT_FOUND")
    equal(raw.ask("PROGRESS", session=me, percent=5)["error"], "BAD_ARG")
    equal(raw.ask("PROGRESS", session=me, token=mine + 1, percent=101)["key"], "percent")
    equal(raw.ask("PROGRESS", session=me, token=mine + 1, phase=3, phases=2)["error"], "BAD_ARG")
    # A limit that is lowered makes what waits impossible; that is pushed.
    equal(raw.ask("REQUEST", session=me, seq=5, count=4)["verb"], "QUEUED")
    slt1.set_max(place.endpoint, 3)
    while not any(m["verb"] == "ERROR" for m in raw.pushed):
        raw.pushed.append(raw.receive())
    error = [m for m in raw.pushed if m["verb"] == "ERROR"][0]
    equal((error["re"], error["error"], error["seq"], error["session"]),
          ("REQUEST", "EXCEEDS_MAX", 5, me))


@case
def a_grant_is_repeated_until_it_is_acknowledged(place):
    place.broker()
    raw = Raw(place)
    me = raw.hello("odin")["session"]
    first = raw.ask("REQUEST", session=me, seq=1, count=2)["first"]
    second = raw.ask("REQUEST", session=me, seq=2, count=1)["first"]
    rows = [{"seq": 1, "first": first, "count": 2}, {"seq": 2, "first": second, "count": 1}]
    equal(raw.ask("BEAT", session=me, epoch=1, seq=1)["grants"], rows)
    equal(raw.ask("BEAT", session=me, epoch=1, seq=2)["grants"], rows)
    held = [first, first + 1]
    equal(raw.ask("BEAT", session=me, epoch=1, seq=3, acks=[1], holds=held)["grants"], rows[1:])
    held.append(second)
    assert "grants" not in raw.ask("BEAT", session=me, epoch=1, seq=4, holds=held)
    # Acknowledged, and not named any more: two BEATs later it is free.
    raw.ask("BEAT", session=me, epoch=1, seq=5, holds=held[:2])
    raw.ask("BEAT", session=me, epoch=1, seq=6, holds=held[:2])
    equal(slt1.status(place.endpoint)["in_use"], 2)
    equal(raw.ask("BEAT", session=me, epoch=1, seq=7, holds=held)["stops"], [second])


@case
def one_host_is_one_machine(place):
    place.broker()
    raw = Raw(place)
    hello = {"project": "odin", **elsewhere("vm2")}
    equal(raw.ask("HELLO", nonce=1, **hello)["verb"], "WELCOME")
    rival = raw.ask("HELLO", nonce=2, **hello)
    equal((rival["error"], rival.get("key")), ("CONFLICT", None))
    name = raw.ask("HELLO", nonce=3, **{**hello, "machine": "another"})
    equal((name["error"], name["key"]), ("CONFLICT", "host"))
    unknown = raw.ask("HELLO", nonce=4, **{**hello, **elsewhere("vm3")}, holds=[900])
    equal((unknown["error"], unknown["key"]), ("NOT_FOUND", "holds"))
    copy = raw.ask("HELLO", nonce=5, **{**hello, "boot": "another"})
    equal(copy["error"], "HOST_CONFLICT")


@both
def strange_messages_are_answered(place, wire):
    place.broker()
    raw = Raw(place, wire.kind)
    equal(raw.ask("DANCE")["error"], "UNKNOWN_VERB")
    equal(raw.ask("STOP", session=1, epoch=1, tokens=[1])["error"], "UNKNOWN_VERB")
    equal(raw.ask("SPAWN", project="odin", supervisor=1)["error"], "UNKNOWN_VERB")
    equal(raw.ask("BEAT", session=1, epoch=1, seq=1)["error"], "NO_SESSION")
    equal(raw.ask("SET_MAX")["key"], "max_slots")
    equal(raw.ask("SET_MAX", max_slots=0)["error"], "BAD_ARG")
    equal(raw.ask("SET_MAX", max_slots=8.0)["error"], "BAD_ARG")
    equal(raw.ask("SET_MAX", max_slots="8")["key"], "max_slots")
    equal(raw.ask("STATUS", project="No Such Key")["error"], "BAD_ARG")
    equal(raw.ask("STATUS", project="nobody")["error"], "NOT_FOUND")
    equal(raw.ask("STATUS", snapshot=4711, cursor=64)["error"], "EXPIRED")

    status = b"\x81\xa4verb\xa6STATUS"
    equal(raw.body(status)["verb"], "STATUS_OK")
    for what, body in (("no map", b"\x93\x01\x02\x03"), ("not msgpack", b"\xc1"),
                       ("cut off", status[:-1]), ("left over", status + b"\xc0"),
                       ("promises too much", b"\xdf\xff\xff\xff\xff"),
                       ("an extension", b"\x82" + status[1:] + b"\xa1x\xd4\x01\x02"),
                       ("a key twice", b"\x83" + status[1:] + b"\xa1x\x01\xa1x\x02"),
                       ("nested too deep",
                        b"\x82" + status[1:] + b"\xa1x" + b"\x91" * 8 + b"\x01")):
        answer = raw.body(body)
        equal((what, answer["verb"], answer["error"]), (what, "ERROR", "BAD_FRAME"))
        assert answer["detail"], what
    equal(raw.body(b"\x82" + status[1:] + b"\xa1x" + b"\x91" * 6 + b"\x01")["verb"], "STATUS_OK")
    raw.send(b"SLT2", status)
    answer = raw.receive()
    equal(answer["error"], "BAD_VERSION")
    assert "SLT1" in answer["detail"], answer
    # What is unknown is ignored, at every level.
    equal(raw.ask("STATUS", colour="blue", more={"deep": [1, {"x": b"\x00"}]})["verb"], "STATUS_OK")
    me = raw.hello("odin", shoe_size=44)["session"]
    equal(raw.ask("BEAT", session=me, epoch=1, seq=1, mood="good", holds=[])["verb"], "BEAT_OK")


@case
def who_talks_too_much_is_told_once(place):
    place.configure(message_rate=200)       # a slow machine says as much
    place.broker()
    session = join(place, "odin")
    flood = Raw(place)

    def is_told():
        for _ in range(500):
            flood.send(*slt1.encode({"verb": "STATUS", "project": "odin"}))
        while flood.socket.poll(0):
            answer = flood.receive()
            if answer["verb"] == "ERROR":
                return answer
    error = until(is_told, session, what="RATE")
    equal((error["error"], error["re"]), ("RATE", "STATUS"))
    granted(session, 1)                        # nobody else is


@case
def who_talks_rubbish_loses_its_session(place):
    place.configure(timing={"ttl": "60s"})
    place.broker()
    raw = Raw(place)
    me = raw.hello("odin")["session"]
    raw.ask("REQUEST", session=me, seq=1, count=1, supervisor=os.getpid())
    for _ in range(10):
        raw.send(b"HTTP", b"\x80")
    until(lambda: [row["state"] for row in slt1.status(place.endpoint)["agents"]] == ["limbo"],
          what="LIMBO before T")
    other = Raw(place)
    equal(other.ask("BEAT", session=me, epoch=1, seq=1)["error"], "NO_SESSION")


@case
def req_clients_are_never_pushed_to(place):
    place.broker()
    holder = join(place, "one")
    tokens = granted(holder, 8)
    raw = Raw(place)                           # a DEALER that frames like a REQ
    raw.send(b"", *slt1.encode({"verb": "HELLO", "nonce": 5, "project": "two",
                                **slt1.this_host()}))
    frames = raw.socket.recv_multipart()
    equal(frames[0], b"")
    me = slt1.decode(frames[1:])["session"]

    def ask(verb, **body):
        raw.send(b"", *slt1.encode({"verb": verb, "session": me, **body}))
        return until(lambda: raw.socket.poll(5) and raw.receive(), holder)
    equal(ask("REQUEST", seq=1, count=2)["verb"], "QUEUED")
    answered(holder, holder.release(tokens))
    until(lambda: slt1.status(place.endpoint, "two").get("agents"), holder, what="the grant")
    assert not raw.socket.poll(0)
    equal(ask("BEAT", epoch=1, seq=1)["grants"][0]["count"], 2)
    assert not raw.socket.poll(0)


@case
def what_a_kill_withdraws_is_told_until_it_is_acknowledged(place):
    place.broker()
    raw, req = Raw(place), Raw(place, zmq.REQ)
    tokens = granted(join(place, "one", **elsewhere("vm2")), 8)
    equal(len(tokens), 8)
    for seq, sender, project in ((1, raw, "two"), (5, req, "three")):
        me = sender.hello(project)["session"]
        equal(sender.ask("REQUEST", session=me, seq=seq, count=2)["verb"], "QUEUED")
        until(lambda: slt1.call(place.endpoint, {"verb": "KILL", "id": 1 + seq,
                                                 "project": project}).get("done"))
        equal(sender.ask("REQUEST", session=me, seq=seq, count=2)["error"], "EXPIRED")
        equal(sender.ask("BEAT", session=me, epoch=1, seq=1)["expired"], [seq])
        assert "expired" not in sender.ask("BEAT", session=me, epoch=1, seq=2, acks=[seq])
    equal([(m["verb"], m["error"]) for m in raw.pushed if m["verb"] == "ERROR"],
          [("ERROR", "EXPIRED")])


# ---- people -----------------------------------------------------------------

@case
def status_comes_in_pages_of_one_snapshot(place):
    place.configure(max_slots=150, max_per_project=150)
    place.broker()
    session = join(place, "odin")
    tokens = granted(session, 140)
    waiting = [session.request(100) for _ in range(5)]
    until(lambda: all(session.requests[seq].answer for seq in waiting), session)
    pages = [slt1.call(place.endpoint, {"verb": "STATUS"})]
    answered(session, session.release(tokens[:70]))      # the snapshot stays as it was
    while "next" in pages[-1]:
        pages.append(slt1.call(place.endpoint, {
            "verb": "STATUS", "snapshot": pages[0]["snapshot"], "cursor": pages[-1]["next"]}))
    lists = ("hosts", "projects", "agents", "queue")
    rows = [sum(len(page.get(name, [])) for name in lists) for page in pages]
    equal(rows, [64, 64, 1 + 1 + 140 + 5 - 128])
    equal({(page["snapshot"], page["in_use"]) for page in pages}, {(pages[0]["snapshot"], 140)})
    equal([row["token"] for page in pages for row in page.get("agents", [])], tokens)
    equal([page.get("cursor", 0) for page in pages], [0, 64, 128])
    whole = slt1.status(place.endpoint)
    equal((len(whole["agents"]), whole["queue_total"], len(whole["queue"])), (70, 5, 5))


@case
def the_pool_is_set_by_an_administrator(place):
    place.broker()
    session = join(place, "odin")
    granted(session, 8)
    waiting = session.request(4)
    until(lambda: session.requests[waiting].answer, session, what="QUEUED")
    answer = slt1.set_max(place.endpoint, 4)
    equal((answer["before"], answer["max_slots"], answer["in_use"], answer["waiting"]),
          (8, 4, 8, 1))
    slt1.set_max(place.endpoint, 12)
    status = slt1.status(place.endpoint)
    equal(status["max_slots"], 12)
    assert not session.requests[waiting].closed


@case
def a_kill_is_known_by_its_id(place):
    place.broker()
    session = join(place, "odin")
    tokens = granted(session, 2, labels="auth,api")
    granted(session, 1, bound=True, supervisor=os.getpid())
    raw = Raw(place)
    kill = {"id": slt1.random_id(), "project": "odin", "label": "auth"}
    answer = raw.ask("KILL", **kill)
    equal((answer["id"], answer["slots"], answer["tokens"]), (kill["id"], 1, tokens[:1]))
    equal(raw.ask("KILL", **{**kill, "project": "other"})["error"], "CONFLICT")
    until(lambda: raw.ask("KILL", **kill).get("done"), session, what="the end of auth")
    equal(raw.ask("KILL", **{**kill, "id": 1, "label": "nobody"})["error"], "NOT_FOUND")
    equal(raw.ask("KILL", id=2, project="odin", token=99999)["error"], "NOT_FOUND")
    bound = [tokens[1] + 1]
    kill = {"id": 3, "project": "odin", "token": bound[0], "supervisor": True}
    answer = raw.ask("KILL", **kill)
    equal((answer["revoked"], answer["supervisor"]), (1, os.getpid()))
    stop = event(session, "stop")
    equal((stop["tokens"], stop["supervisor"]), (bound, True))
    assert not raw.ask("KILL", **kill).get("done")
    equal(session.slots[bound[0]], "bound")
    equal(answered(session, session.release(bound))["tokens"], bound)
    assert raw.ask("KILL", **kill)["done"]


@case
def a_remote_host_tells_how_it_is(place):
    place.broker()
    session = join(place, "odin", **elsewhere("vm2"), cores=4, memory_bytes=8 << 30)
    equal(session.welcome["sample_ms"], 200)
    subscriber = listen(place, "health.vm2")
    ok = answered(session, session.sample(cpu_percent=12.5, memory_percent=50.0, load1=1.5,
                                          running=3, disk_percent=7, swap_percent=0.0))
    equal((ok["verb"], ok["re"]), ("OK", "SAMPLE"))
    host = {row["host"]: row for row in slt1.status(place.endpoint)["hosts"]}["vm2"]
    equal((host["cpu_percent"], host["memory_percent"], host["load1"], host["disk_percent"],
           host["swap_percent"]), (12.5, 50.0, 1.5, 7.0, 0.0))
    assert "inodes_percent" not in host
    until(lambda: subscriber.receive(0) and subscriber.values["health.vm2"].get("load1") == 1.5,
          session, what="its topic")
    at_home = join(place, "consilio")
    equal(answered(at_home, at_home.sample(cpu_percent=1.0))["error"], "NOT_ALLOWED")


# ---- topics -----------------------------------------------------------------

def listen(place, prefix="", endpoint=None):
    subscriber = slt1.Subscriber(endpoint or place.events, prefix)
    place.at_end(subscriber.close)
    return subscriber


@case
def a_late_subscriber_gets_the_last_values_and_then_what_changes(place):
    broker = place.broker()
    session = join(place, "odin")
    tokens = granted(session, 3)
    waiting = session.request(8)
    until(lambda: session.requests[waiting].answer, session, what="QUEUED")
    subscriber = listen(place)
    seen = []

    def hear():
        got = subscriber.receive(0)
        seen.extend([got] if got else [])
        return got
    host = session.identity["host"]
    topics = {"lease.odin", "queue.odin", "broker", "pool." + host, "health." + host}
    until(lambda: hear() or topics <= set(subscriber.values), session, what="last values")
    until(lambda: not hear() and topics <= set(subscriber.values), session, what="last values")
    values = subscriber.values
    equal((values["lease.odin"]["verb"], values["lease.odin"]["tokens"],
           values["lease.odin"]["held"]), ("LEASE", tokens, 3))
    equal((values["queue.odin"]["waiting"], len(values["queue.odin"]["requests"])), (8, 1))
    equal((values["broker"]["sessions"], values["broker"]["broker"]), (1, session.broker))
    equal((values["pool." + host]["in_use"], values["pool." + host]["waiting"]), (3, 1))
    equal(values["health." + host]["level"], "healthy")

    answered(session, session.release(tokens[:1]))
    until(lambda: hear() and values["lease.odin"]["held"] == 2, session, what="the change")
    equal([how for topic, _, how in seen if topic == "lease.odin" and how != "repetition"],
          ["first", "next"])
    assert all(how in ("first", "next", "repetition") for _, _, how in seen), seen

    broker.signal(15)
    broker.wait_exit()
    place.broker()
    until(lambda: hear() and seen[-1][0] == "lease.odin" and seen[-1][2] == "epoch",
          session, what="the new epoch")
    equal((values["lease.odin"]["epoch"], values["lease.odin"]["tokens"]), (2, tokens[1:]))


@case
def what_does_not_change_is_repeated_with_its_number(place):
    place.broker()
    session = join(place, "odin")
    granted(session, 1)
    subscriber = listen(place, "lease.odin")
    first = until(lambda: subscriber.receive(0), session, what="the last value")
    again = until(lambda: subscriber.receive(0), session, what="its repetition")
    equal((first[2], again[2]), ("first", "repetition"))
    equal(again[:2], first[:2])
    equal(slt1.follows({"epoch": 1, "number": 4}, {"epoch": 1, "number": 7}), "gap")


@case
def a_project_that_is_gone_says_so(place):
    place.broker()
    session = join(place, "odin")
    granted(session, 1)
    subscriber = listen(place, "lease.odin")
    until(lambda: subscriber.receive(0), session, what="the last value")
    answered(session, session.bye())
    until(lambda: subscriber.receive(0.05) and not subscriber.values, what="gone")


# ---- TCP --------------------------------------------------------------------

@both
def over_tcp_it_is_the_same_but_nobody_rules(place, wire):
    endpoint = "tcp://127.0.0.1:%d" % free_port()
    place.configure(bind=[endpoint], insecure=True)
    events_at = place.broker().wait_line(r"\bready\b.* events=(\S+)").group(1)
    session = join(place, "odin", wire, endpoint=endpoint)
    subscriber = listen(place, "lease.", events_at)
    tokens = granted(session, 2)
    until(lambda: subscriber.receive(0) and subscriber.values["lease.odin"].get("held") == 2,
          session, what="its topic")
    equal([row["token"] for row in slt1.status(endpoint)["agents"]], tokens)
    equal(refused(slt1.set_max, endpoint, 3)["error"], "NOT_ALLOWED")
    equal(refused(slt1.call, endpoint, {"verb": "RELEASE", "tokens": tokens,
                                        "force": True})["error"], "NOT_ALLOWED")
    answered(session, session.release(tokens))
    answered(session, session.bye())


main()
