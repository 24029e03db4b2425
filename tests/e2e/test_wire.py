# SPDX-License-Identifier: MPL-2.0
"""A bad wire: loss, doubles, delays, cuts, garbage, peers that stop, listeners
that are slow. What is promised holds, and at the end all is given back.

The dice of wires and garbage are printed. FROM=seed SEEDS=n choose them: the
rounds over a lossy wire are run n times, each time with the next seed.
"""
import json
import os
import random
import re
import signal
import statistics
import threading
import time

import msgpack
import zmq

from agents import STUBBORN, Supervisor
from harness import ASAN, DEADLINE, Place, alive, case, free_port, main, moved, wait_until
from proxy import Proxy
from slotbus_client import MAGIC, Client, Refused, Session

HERE = os.path.dirname(os.path.abspath(__file__))
BEAT = 0.05


def loopback():
    return "tcp://127.0.0.1:%d" % free_port()


def start_broker(place, binds):
    """On these endpoints; its id, which marks its trees."""
    flags = [word for bind in binds for word in ("--bind", bind)]
    broker = place.broker(*flags)
    broker.id = broker.wait_line(r"\bbroker=(\w+)").group(1)
    return broker


def tree_tokens(broker_id):
    """{pid: tokens} of the processes that run under this broker's slots."""
    mark = b"SLOTBUS_COOKIE=%s:" % broker_id.encode()
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/environ" % name, "rb") as f:
                entries = f.read().split(b"\0")
        except OSError:
            continue
        if any(e.startswith(mark) for e in entries):
            tokens = next((e[15:] for e in entries if e.startswith(b"SLOTBUS_TOKENS=")), b"")
            found[int(name)] = tokens_of(tokens.decode())
    return found


def tokens_of(text):
    """17,19-21"""
    found = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


# ---- who watches ----

class Observer(threading.Thread):
    """Asks STATUS directly, all the time, and compares it with what really
    runs and what the sessions here really hold."""

    def __init__(self, endpoint, broker_id, most, most_of_project):
        threading.Thread.__init__(self)
        self.endpoint, self.broker_id = endpoint, broker_id
        self.most, self.most_of_project = most, most_of_project
        self.context = zmq.Context()
        self.client = Client(endpoint, context=self.context)
        self.sessions = []
        self.ending = threading.Event()
        self.wrong = []
        self.looks = self.busiest = self.epoch = self.highest = 0
        self.last = {}
        self.known = set()

    def status(self):
        """The broker may die while it is asked."""
        end = time.monotonic() + DEADLINE
        while True:
            try:
                self.client.send("STATUS")
                page = self.client.wait("STATUS_OK", 0.5)
                assert not page.get("next"), "more than 64 rows"
                return page
            except AssertionError:
                if time.monotonic() > end:
                    raise
                self.client.close()
                self.client = Client(self.endpoint, context=self.context)

    def held_here(self):
        return frozenset().union(*(s.kept for s in self.sessions))

    def look(self):
        trees, held = tree_tokens(self.broker_id), self.held_here()
        seen = self.status()
        after = tree_tokens(self.broker_id)
        held &= self.held_here()
        agents = {a["token"] for a in seen.get("agents", [])}
        self.looks += 1
        self.last = seen
        self.check_sums(seen, agents)
        self.check_rise(seen, agents)
        for pid, tokens in trees.items():       # I4: lived before and after it
            if after.get(pid) == tokens:
                self.expect(agents.issuperset(tokens), "lives uncounted", pid, tokens, agents)
        # I7 and R4: nobody gave it back, so it is there, restarted or not
        self.expect(agents >= held, "held and unknown", held - agents)

    def check_sums(self, seen, agents):
        """I1, I2, I6."""
        in_use = seen.get("in_use", 0)
        self.busiest = max(self.busiest, in_use)
        self.expect(in_use <= self.most, "over-committed", in_use)
        self.expect(in_use == len(agents) == len(seen.get("agents", [])), "in_use", in_use, agents)
        self.expect(in_use == sum(h.get("in_use", 0) for h in seen["hosts"]), "hosts", seen["hosts"])
        counted = {p["name"]: p.get("held", 0) + p.get("limbo", 0) for p in seen.get("projects", [])}
        self.expect(in_use == sum(counted.values()), "projects", in_use, counted)
        self.expect(all(n <= self.most_of_project for n in counted.values()), "cap", counted)

    def check_rise(self, seen, agents):
        """I3: what was granted since the last look is above all before it."""
        fresh = agents - self.known
        self.expect(all(t > self.highest for t in fresh), "token does not rise", fresh, self.highest)
        self.highest = max(agents | {self.highest})
        self.known = agents
        self.expect(seen["epoch"] >= self.epoch, "epoch fell", seen["epoch"], self.epoch)
        self.epoch = seen["epoch"]

    def expect(self, true, what, *about):
        if not true and len(self.wrong) < 20:
            self.wrong.append("%s: %s" % (what, about))

    def run(self):
        try:
            while not self.ending.is_set():
                self.look()
        except BaseException as why:
            self.wrong.append("the observer: %r" % why)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.join()
        self.client.close()
        self.context.term()


# ---- who works ----

class Tenacious(Session):
    """A session that repeats what is unanswered, and takes a grant once."""

    epoch = 0

    def __init__(self, endpoint, project, context=None):
        self.taken = {}             # seq: (first, count)
        self.kept = frozenset()     # granted, and no word of giving back yet
        self.named = {}             # number of a BEAT: tokens
        self.confirmed = frozenset()
        self.repeats = 0
        Session.__init__(self, endpoint, project, context=context)

    def took(self, message):
        """R7: of this session, and not of an epoch before."""
        if message.get("session") == self.session and message.get("epoch", self.epoch) >= self.epoch:
            Session.took(self, message)
            if message["verb"] == "BEAT_OK":
                self.confirmed = self.named.get(message["seq"], self.confirmed) & self.kept

    def take(self, seq, first, count):
        if seq not in self.taken:
            self.taken[seq] = first, count
            self.kept |= set(range(first, first + count))
            Session.take(self, seq, first, count)

    def beat(self):
        seq = Session.beat(self)
        self.named = {**{n: t for n, t in self.named.items() if n > seq - 100},
                      seq: frozenset(self.holds)}
        return seq

    def until(self, true, verb=None, **keys):
        """Wait for a message about which `true` says so; meanwhile say this,
        again and again. The message; others are heeded and dropped."""
        end = time.monotonic() + DEADLINE
        said = 0
        while time.monotonic() < end:
            if verb and time.monotonic() >= said:
                self.repeats += said > 0
                self.send(verb, **keys)
                said = time.monotonic() + 2 * BEAT
            self.meanwhile()
            message = self.read(0.01)
            if message is not None:
                self.took(message)
                if true(message):
                    return message
        raise AssertionError("%s of %s: no answer within %g s" % (verb, self.project, DEADLINE))

    def call(self, verb, answer, deadline=DEADLINE, **keys):
        def is_it(m):
            return (m["verb"] == answer and m.get("nonce") == keys.get("nonce")
                    or m["verb"] == "ERROR" and m.get("re") == verb)
        message = self.until(is_it, verb, **keys)
        if message["verb"] == "ERROR":
            raise Refused(message)
        return message

    def ask(self, seq, **keys):
        """This REQUEST, until it is granted: (first, count)."""
        def is_it(m):
            return (m["verb"] == "GRANT" and m["session"] == self.session and m["seq"] == seq
                    or m["verb"] == "BEAT_OK" and any(g["seq"] == seq for g in m.get("grants", [])))
        grant = self.until(is_it, "REQUEST", session=self.session, seq=seq, **keys)
        if grant["verb"] == "BEAT_OK":
            grant = next(g for g in grant["grants"] if g["seq"] == seq)
        return grant["first"], grant["count"]

    def is_closed(self, seq, **keys):
        """This REQUEST, until it is refused: why."""
        def is_it(m):
            return m["verb"] == "ERROR" and m.get("re") == "REQUEST" and m.get("seq") == seq
        return self.until(is_it, "REQUEST", session=self.session, seq=seq, **keys)["error"]

    def give_back(self, tokens):
        """RELEASE, until it is answered, and again until it is answered that
        nothing was left to do. (An answer may be that to the time before.)"""
        def is_over(m):
            return m["verb"] == "RELEASED" and sorted(m.get("tokens", []) + m.get("expired", [])) == tokens

        def is_closed(m):
            return m["verb"] == "RELEASED" and m.get("expired") == tokens and not m.get("tokens")
        self.kept -= set(tokens)
        self.until(is_over, "RELEASE", session=self.session, tokens=tokens)
        self.holds = [t for t in self.holds if t not in tokens]
        self.until(is_closed, "RELEASE", session=self.session, tokens=tokens)

    def leave(self):
        self.until(lambda m: m["verb"] == "OK" and m["re"] == "BYE"
                   or m.get("error") == "NO_SESSION", "BYE", session=self.session)
        self.close()

    def one_round(self, dice):
        """Request, beat, release, and all of it once more."""
        count = dice.randrange(1, 4)
        least = dice.randrange(1, count + 1) if dice.random() < 0.3 else count
        self.seq += 1
        seq, what = self.seq, {"count": count, "min": least}
        first, granted = self.ask(seq, **what)
        assert least <= granted <= count, (least, granted, count)           # I5
        tokens = list(range(first, first + granted))
        self.until(lambda m: self.confirmed.issuperset(tokens))
        assert self.ask(seq, **what) == (first, granted)                    # I10
        beats = self.beat_seq + dice.randrange(4)
        self.until(lambda m: m["verb"] == "BEAT_OK" and m["seq"] >= beats)
        self.give_back(tokens)                                              # I9
        assert self.is_closed(seq, **what) == "EXPIRED"


class Worker(threading.Thread):
    """Runs rounds of a session of its own."""

    def __init__(self, endpoint, project, seed, rounds):
        threading.Thread.__init__(self)
        self.dice = random.Random("%s %s" % (seed, project))
        self.context = zmq.Context()
        self.session = Tenacious(endpoint, project, self.context)
        self.id = self.session.session
        self.rounds, self.done, self.failure = rounds, 0, None

    def run(self):
        try:
            while self.done < self.rounds:
                self.session.one_round(self.dice)
                self.done += 1
            assert self.session.session == self.id
            self.session.leave()
        except BaseException as why:
            self.failure = why
        finally:
            self.session.close()
            self.context.term()


# A supervisor: reserve a slot, fill it, give it back; then two at once.
ROUNDS_OF_COMMANDS = r"""
i=0
while [ $i -lt $2 ]; do
    i=$((i + 1))
    slotbus request $1 1 >/dev/null || exit 1
    slotbus run -p $1 -l one -- sh -c 'sleep 0.0'$i'; exit 7'
    [ $? = 7 ] || exit 2
    slotbus release $1 1 >/dev/null || exit 3
    slotbus run -p $1 -n 2 -- sh -c 'sleep 60 & sleep 0.05' || exit 4
    echo round $i
done
"""


def start_commands(place, project, rounds, endpoint):
    script = os.path.join(place.path, project + ".sh")
    with open(script, "w") as f:
        f.write(ROUNDS_OF_COMMANDS)
    path = os.path.join(os.environ["SLOTBUS_BIN"], "worker-shim") + ":" + os.environ["PATH"]
    return place.start("/bin/sh", script, project, str(rounds),
                       env={"SLOTBUS_BROKER": endpoint, "PATH": path})


def rounds_of(commands):
    return sum(line.startswith("round ") for line in commands.lines["stdout"])


def steady_agent(place, project, endpoint):
    """One agent that lives from the beginning to the end: (supervisor, pid, file that ends it)."""
    go = os.path.join(place.path, "go")
    place.env["SLOTBUS_BROKER"] = endpoint
    supervisor = Supervisor(place, project)
    supervisor.run(go=go, status=9)
    return supervisor, supervisor.started(1)[0], go


def restart(place, broker, binds):
    broker.signal(signal.SIGKILL)
    broker.wait_exit()
    return start_broker(place, binds)


def check_log(text):
    """I3, I9, I12, as the broker tells it."""
    bad = re.findall(r".*(?:\] lost |above_mark|host_conflict|Sanitizer).*", text)
    assert not bad, bad
    granted = [t for span in re.findall(r"\] grant .*\btoken=(\S+)", text) for t in tokens_of(span)]
    assert granted == sorted(set(granted)), granted
    released = re.findall(r"\] release .*\btoken=(\d+)", text)
    assert len(released) == len(set(released)), released
    return len(granted)


def programs(place, *words):
    """Pids of this place's `slotbus WORD`."""
    home = b"SLOTBUS_RUNTIME_DIR=" + place.runtime.encode()
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % name, "rb") as f:
                argv = f.read().split(b"\0")
            with open("/proc/%s/environ" % name, "rb") as f:
                if argv[0].endswith(b"slotbus") and argv[1].decode() in words and home in f.read().split(b"\0"):
                    found.append(int(name))
        except (OSError, IndexError):
            pass
    return found


def end_programs(place):
    """After a failure: a `run` whose supervisor was killed may work for itself."""
    for pid in programs(place, "run", "request", "release", "shim"):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def rounds_on(place, front, back, seed):
    """A hundred rounds, sixty of sessions and forty of commands (with
    AddressSanitizer forty in all); in the middle the broker is killed and
    started again."""
    place.configure(insecure=True, max_slots=10, max_per_project=3, timing={"ttl": "4s"})
    place.at_end(end_programs, place)
    binds = sorted({place.endpoint, back})
    broker = start_broker(place, binds)
    wire = Proxy(place, front, back, seed, loss=0.1, duplication=0.1, delay=[0, 0.03])
    with Observer(place.endpoint, broker.id, 10, 3) as observer:
        supervisor, agent, go = steady_agent(place, "steady", wire.endpoint)
        dead, broker = work_through_a_restart(place, wire, observer, broker, binds, seed)
        assert alive(agent) and observer.last["epoch"] == 2
        open(go, "w").close()
        assert supervisor.ended(1) == 9
        supervisor.shell.process.stdin.close()
        wait_until(lambda: not observer.last.get("in_use") and not observer.last.get("queue"), "all is given back")
    wait_until(lambda: not tree_tokens(broker.id) and not programs(place, "shim"), "trees and shims end")
    assert not observer.wrong, observer.wrong
    assert not wire.turn()["wrong"], wire.turn()["wrong"]
    print("# %d tokens" % check_log(dead.text() + "\n" + broker.text()))


def work_through_a_restart(place, wire, observer, broker, binds, seed):
    """The broker that was killed, and its successor."""
    of_sessions, of_commands = (6, 4) if ASAN else (15, 10)
    whole = 4 * (of_sessions + of_commands)
    shells = [start_commands(place, "shell%d" % i, of_commands, wire.endpoint) for i in range(4)]
    workers = [Worker(wire.endpoint, "python%d" % i, seed, of_sessions) for i in range(4)]
    observer.sessions = [w.session for w in workers]
    began = time.monotonic()
    for worker in workers:
        worker.start()

    def done(share):
        failed = any(w.failure for w in workers) or any(s.process.poll() for s in shells)
        return failed or sum(w.done for w in workers) + sum(map(rounds_of, shells)) >= share * whole
    try:
        wait_until(lambda: done(0.5), "half of the rounds", 90)
        dead, broker = broker, restart(place, broker, binds)
        wait_until(lambda: done(1), "all rounds", 90)
    finally:
        print("# rounds: %s" % ([w.done for w in workers] + list(map(rounds_of, shells))))
        for worker in workers:
            worker.rounds = 0
            worker.join()
    failures = [w.failure for w in workers if w.failure] + [
        (s.text("stdout"), s.text()) for s in shells if s.wait_exit()]
    assert not failures, failures
    told = wire.turn()
    print("# %d rounds in %.1f s, %d looks, busiest %d of 10, %d repeats; %s; %s" % (
        whole, time.monotonic() - began, observer.looks, observer.busiest,
        sum(w.session.repeats for w in workers), told["counts"], told["verbs"]))
    return dead, broker


def rounds_by_seed(first, ends):
    first = int(os.environ.get("FROM", first))
    for seed in range(first, first + int(os.environ.get("SEEDS", 1))):
        place = Place()
        try:
            rounds_on(place, *ends(place), seed)
        except BaseException:
            place.report()
            raise
        finally:
            place.clean()


def ends_on_tcp(_place):
    """Of a wire: where clients connect, and where the broker is."""
    return loopback(), loopback()


def ends_on_ipc(place):
    return "ipc://" + os.path.join(place.runtime, "lossy"), place.endpoint


@case
def what_is_promised_holds_over_a_lossy_tcp_wire(_place):
    rounds_by_seed(1, ends_on_tcp)


@case
def what_is_promised_holds_over_a_lossy_ipc_wire(_place):
    rounds_by_seed(1001, ends_on_ipc)


# ---- a wire that is cut ----

CUTS = ("both", "up", "down")
CUT_TIMING = {"ttl": "3s", "kill_confirm": "500ms", "drift": "300ms", "lock_delay": "600ms"}
TTL, DRIFT, LOCK_DELAY = 3.0, 0.3, 0.6


def when_all(done, what):
    """{name: when it was done} of functions by name."""
    times = {}

    def ask():
        for name, is_done in done.items():
            if name not in times and is_done():
                times[name] = time.monotonic()
        return len(times) == len(done)
    wait_until(ask, what)
    return times


def cut_wires(place, ends):
    """Three projects, each behind a wire of its own that is cut for longer
    than T, each in another way."""
    place.configure(insecure=True, timing=CUT_TIMING)
    place.at_end(end_programs, place)
    _, back = ends(place)
    broker = start_broker(place, sorted({place.endpoint, back}))
    wires, supervisors, pids = {}, {}, {}
    for seed, way in enumerate(CUTS):
        front = ends(place)[0] + (way if back.startswith("ipc:") else "")
        wires[way] = Proxy(place, front, back, seed, delay=[0, 0.01])
        place.env["SLOTBUS_BROKER"] = wires[way].endpoint
        supervisors[way] = Supervisor(place, way)
        supervisors[way].run()
        supervisors[way].run(STUBBORN)
        pids[way] = supervisors[way].started(2)
    with Observer(place.endpoint, broker.id, 8, 8) as observer:
        wait_until(lambda: sum(bool(a.get("pid")) for a in observer.last.get("agents", [])) == 6, "six agents are known")
        cut_and_mend(wires, supervisors, pids, observer, broker)
        wait_until(lambda: not observer.last.get("in_use") and not programs(place, "shim"), "all is given back")
    assert not tree_tokens(broker.id)
    assert not observer.wrong, observer.wrong
    for wire in wires.values():
        assert not wire.turn()["wrong"], wire.turn()["wrong"]


def cut_and_mend(wires, supervisors, pids, observer, broker):
    def is_free(way):
        return not any(a["project"] == way for a in observer.last.get("agents", []))
    cut_at, before = {}, moved(broker)
    for way, wire in wires.items():
        wire.turn(cut=way)
        cut_at[way] = time.monotonic()
    gone = when_all({w: lambda w=w: not any(map(alive, pids[w])) for w in CUTS}, "R2 ends all agents")
    free = when_all({w: lambda w=w: is_free(w) for w in CUTS}, "all slots return")
    for way in CUTS:
        print("# cut %s: agents gone after %.2f s, slots back after %.2f s" % (
            way, gone[way] - cut_at[way], free[way] - cut_at[way]))
        assert gone[way] - cut_at[way] < TTL - DRIFT
        assert free[way] - cut_at[way] < TTL + LOCK_DELAY + 1 + moved(broker) - before
    for way, wire in wires.items():
        wire.turn(cut="")
        number = supervisors[way].run("exit 5")
        assert supervisors[way].ended(number) == 5
        supervisors[way].shell.process.stdin.close()


@case
def agents_behind_a_cut_tcp_wire_are_gone_before_their_slots_are_free(place):
    cut_wires(place, ends_on_tcp)


@case
def agents_behind_a_cut_ipc_wire_are_gone_before_their_slots_are_free(place):
    cut_wires(place, ends_on_ipc)


@case
def a_stop_of_an_epoch_before_is_not_heeded(place):
    """I13. The same STOP with the present epoch is: the shim does hear it. Each is
    said again and again, as brokers do: the shim may connect anew just then."""
    front, back = ends_on_ipc(place)
    place.at_end(end_programs, place)
    broker = start_broker(place, [back])
    wire = Proxy(place, front, back, 1)
    supervisor, agent, _ = steady_agent(place, "steady", front)
    restart(place, broker, [back])
    session, = wait_until(lambda: [s for s, e in wire.turn()["epochs"].items() if e == 2], "a BEAT with the new epoch")
    stop = {"verb": "STOP", "session": int(session), "epoch": 1, "tokens": [1], "grace_ms": 1000}
    beats = wire.turn()["verbs"]["BEAT_OK"]
    wait_until(lambda: wire.turn(inject=stop)["verbs"]["BEAT_OK"] > beats + 10, "ten beats",
               meanwhile=lambda: time.sleep(0.02))
    assert alive(agent)
    wait_until(lambda: wire.turn(inject={**stop, "epoch": 2}) and "ended 1 " in supervisor.shell.text("stdout"),
               "it is heeded", meanwhile=lambda: time.sleep(0.02))
    assert supervisor.ended(1) == 128 + signal.SIGTERM
    supervisor.shell.process.stdin.close()
    wait_until(lambda: not programs(place, "shim"), "the shim ends")


# ---- connections that mean no good ----

CONNECTIONS = 10000
SLICES = 5


def descriptors(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


def asking(session, more):
    """STATUS again and again while `more` says so, some 300 a second: how
    long each took, in ms."""
    took = []
    while more(len(took)):
        began = time.monotonic()
        session.status()
        took.append((time.monotonic() - began) * 1000)
        session.inbox.clear()           # BEAT_OKs
        session.socket.poll(3)
    return took


def p99(times):
    return statistics.quantiles(times, n=100)[98]


@case
def late_news_of_one_tree_does_not_touch_the_next_in_its_reservation(place):
    """Two trees fill the same slot, one after the other; copies come late."""
    place.broker()
    session = Session(place.endpoint, "consilio")
    tokens = session.granted(1)
    first, second = {"pid": os.getpid()}, {"pid": os.getppid()}

    def say(verb, answer, seq, **keys):
        return session.call(verb, answer, session=session.session, tokens=tokens, seq=seq, **keys)

    def agent():
        row, = session.status()["agents"]
        return row["kind"], row.get("pid")
    say("STARTED", "OK", 1, **first)
    say("REAPED", "RELEASED", 2, keep=True)
    say("STARTED", "OK", 1, **first)
    assert agent() == ("reservation", None), agent()
    say("STARTED", "OK", 3, **second)
    assert say("REAPED", "RELEASED", 2, keep=True)["kept"] == tokens
    assert agent() == ("agent", second["pid"]), agent()
    session.close()


@case
def ten_thousand_connections_that_mean_no_good_cost_others_nothing(place):
    seed = int(os.environ.get("FROM", 1))
    place.configure(insecure=True)
    bus = loopback()
    broker = start_broker(place, [place.endpoint, bus])
    session = Session(place.endpoint, "consilio")
    tokens = session.granted(2)
    before = descriptors(broker.pid)
    flood = place.start("/usr/bin/python3", "-B", os.path.join(HERE, "garbage.py"), str(seed),
                        place.endpoint, bus, stdin=-1)
    quiet, flooded, kinds = [], [], {}
    for i in range(SLICES):
        flood.process.stdin.write(b"%d\n" % (CONNECTIONS // SLICES))
        flood.process.stdin.flush()
        flooded += asking(session, lambda _: len(flood.lines["stdout"]) == i)
        made = json.loads(flood.wait_line("", "stdout", start=i).string)
        kinds = {k: kinds.get(k, 0) + made.get(k, 0) for k in {**kinds, **made}}
        quiet += asking(session, lambda asked: asked < 100)
    print("# seed=%d connections=%s" % (seed, kinds))
    print("# STATUS under the flood: n=%d, median %.2f ms and p99 %.2f ms: %.1f and %.1f times what it is without" % (
        len(flooded), statistics.median(flooded), p99(flooded),
        statistics.median(flooded) / statistics.median(quiet), p99(flooded) / p99(quiet)))
    assert sum(kinds.values()) == CONNECTIONS and not any("not connected" in k for k in kinds), kinds
    wait_until(lambda: descriptors(broker.pid) <= before, "every descriptor is given back", meanwhile=session.keep)
    assert alive(broker.pid)
    agents = session.status()["agents"]
    assert sorted(a["token"] for a in agents) == tokens and agents[0]["state"] == "active", agents
    assert not re.search(r"\] lost ", broker.text()), broker.text()[-2000:]
    session.release(tokens)
    session.close()
    broker.signal(signal.SIGTERM)
    assert broker.wait_exit() == 0, broker.text()[-2000:]
    dropped, refused = map(int, re.search(r"dropped=(\d+) refused=(\d+)", broker.text()).groups())
    print("# dropped=%d refused=%d" % (dropped, refused))
    assert dropped and refused      # it got that far


# ---- a peer that stops ----

@case
def a_peer_that_stops_and_does_not_read_costs_others_nothing(place):
    """The broker tells it of every change in the queue, more than fits on the
    way to it, and grants all that it waits for into that."""
    place.configure(timing={"ttl": "60s"})
    place.at_end(end_programs, place)
    broker = start_broker(place, [place.endpoint])
    holder = Session(place.endpoint, "holder")
    tokens = holder.granted(8)
    watch = ("--watch", str(os.getpid()))
    waiting = [place.start("slotbus", "request", "stopped", "1", *watch) for _ in range(8)]
    wait_until(lambda: holder.status().get("queue_total") == 8, "all wait")
    shim, = programs(place, "shim")
    os.kill(shim, signal.SIGSTOP)
    try:
        longest = 0.0
        for i in range(400):            # each is eight messages to it
            began = time.monotonic()
            holder.call("SET_MAX", "SET_MAX_OK", max_slots=7 + i % 2)
            longest = max(longest, time.monotonic() - began)
            holder.inbox.clear()
        assert holder.release(tokens)["tokens"] == tokens
        granted = [a for a in holder.status()["agents"] if a["project"] == "stopped"]
        assert len(granted) == 8
    finally:
        os.kill(shim, signal.SIGCONT)
    assert [w.wait_exit() for w in waiting] == [0] * 8, [w.text() for w in waiting]
    code, out, err = place.run("slotbus", "release", "stopped", "8", *watch)
    assert code == 0 and "Released 8 slots" in out, (code, out, err)
    assert not holder.status().get("in_use")
    holder.close()
    os.kill(shim, signal.SIGTERM)
    wait_until(lambda: not alive(shim), "the shim ends")
    broker.signal(signal.SIGTERM)
    assert broker.wait_exit() == 0
    congested = int(re.search(r"congested=(\d+)", broker.text()).group(1))
    print("# longest call %.1f ms, %d messages did not fit" % (longest * 1000, congested))
    assert congested
    check_log(broker.text())


# ---- listeners ----

EVENTS = 20000


class Listener:
    """What is published, all of it: {topic: {number: body}}, and gaps seen."""

    def __init__(self, endpoint, hwm):
        self.socket = zmq.Context.instance().socket(zmq.SUB)
        for option, value in ((zmq.LINGER, 0), (zmq.RCVHWM, hwm), (zmq.SUBSCRIBE, b"")):
            self.socket.set(option, value)
        self.socket.connect(endpoint)
        self.bodies, self.last, self.gaps, self.repeated = {}, {}, 0, 0

    def read(self):
        while True:
            try:
                topic, magic, body = self.socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            assert magic == MAGIC
            self.note(topic.decode(), msgpack.unpackb(body)["number"], body)

    def note(self, topic, number, body):
        last = self.last.get(topic)
        if number == last:
            self.repeated += 1
            assert self.bodies[topic][number] == body, "a repetition differs: %s" % topic
            return
        assert last is None or number > last, (topic, last, number)
        self.gaps += last is not None and number > last + 1
        self.last[topic] = number
        self.bodies.setdefault(topic, {})[number] = body

    def newest(self, topic):
        return msgpack.unpackb(self.bodies[topic][self.last[topic]]) if topic in self.last else {}

    def published(self):
        return sum(self.last.values())

    def close(self):
        self.socket.close()


def make_events(sessions, fast, wanted):
    """One slot is taken and given back, again and again."""
    while fast.published() < wanted:
        for session in sessions:
            session.release(session.granted(1))
            session.inbox.clear()
        fast.read()


def keep_all(sessions):
    for session in sessions:
        session.keep()
        session.inbox.clear()


@case
def a_slow_listener_sees_gaps_and_then_the_state(place):
    place.broker()
    fast, slow = Listener(place.events, 100000), Listener(place.events, 10)
    assert slow.socket.poll(DEADLINE * 1000), "nothing is published"
    wait_until(lambda: fast.read() or fast.last, "the fast one listens")
    sessions = [Session(place.endpoint, "p%d" % i) for i in range(4)]
    began = time.monotonic()
    make_events(sessions, fast, EVENTS)
    tokens = sessions[0].granted(2)
    print("# %d events in %.1f s" % (fast.published(), time.monotonic() - began))

    def listen():
        keep_all(sessions)
        fast.read()
        slow.read()
    wait_until(lambda: fast.newest("lease.p0").get("tokens") == tokens and slow.last == fast.last,
               "the slow one has the last of every topic", meanwhile=listen)
    print("# slow: %d messages, %d gaps, %d repetitions; fast: %d, %d, %d" % (
        sum(map(len, slow.bodies.values())), slow.gaps, slow.repeated,
        sum(map(len, fast.bodies.values())), fast.gaps, fast.repeated))
    assert not fast.gaps and slow.gaps
    # whatever arrived is a whole and true snapshot, those after a gap too
    assert all(fast.bodies[t].get(n, b) == b for t, known in slow.bodies.items() for n, b in known.items())
    check_last(fast, sessions[0].status())
    for what in (*sessions, fast, slow):
        what.close()


def follow(lines, fast):
    """{topic: last number} of `slotbus events --json`; what it missed is
    said, and what it says is so."""
    last, missed = {}, 0
    for said in map(json.loads, lines):
        if "gap" in said:
            gap = said["gap"]
            assert gap["first"] == last[gap["topic"]] + 1 and gap["last"] >= gap["first"], said
            missed += gap["last"] - last[gap["topic"]]
            last[gap["topic"]] = gap["last"]
            continue
        topic, number = said["topic"], said["number"]
        assert number == last.get(topic, number - 1) + 1, (said, last)
        last[topic] = number
        body = fast.bodies.get(topic, {}).get(number)
        if body and said["verb"] == "LEASE":
            true = msgpack.unpackb(body)
            assert (said["held"], said["tokens"]) == (true.get("held", 0), true.get("tokens", [])), (said, true)
    return last, missed


@case
def a_listener_that_was_stopped_says_what_it_missed(place):
    place.broker()
    fast = Listener(place.events, 100000)
    events = place.start("slotbus", "events", "--follow", "--json")
    events.wait_line("broker", "stdout")
    wait_until(lambda: fast.read() or fast.last, "the fast one listens")
    sessions = [Session(place.endpoint, "p%d" % i) for i in range(4)]
    events.signal(signal.SIGSTOP)
    try:
        make_events(sessions, fast, EVENTS)
    finally:
        events.signal(signal.SIGCONT)
    tokens = sessions[0].granted(2)

    def listen():
        keep_all(sessions)
        fast.read()
    wait_until(lambda: fast.newest("lease.p0").get("tokens") == tokens
               and follow(events.lines["stdout"], fast)[0] == fast.last,
               "it has the last of every topic", meanwhile=listen)
    missed = follow(events.lines["stdout"], fast)[1]
    print("# %d lines, %d missed of %d" % (len(events.lines["stdout"]), missed, fast.published()))
    assert missed
    check_last(fast, sessions[0].status())
    events.signal(signal.SIGINT)
    events.wait_exit()
    for what in (*sessions, fast):
        what.close()


def check_last(listener, status):
    """The last of every topic is what STATUS says."""
    last = {t: listener.newest(t) for t in listener.last}
    for row in status["projects"]:
        said = last["lease." + row["name"]]
        tokens = sorted(a["token"] for a in status.get("agents", []) if a["project"] == row["name"])
        assert (said.get("held", 0), sorted(said.get("tokens", []))) == (row.get("held", 0), tokens), (said, row)
    pool, = (m for t, m in last.items() if t.startswith("pool."))
    assert (pool.get("in_use"), pool["max_slots"]) == (status.get("in_use"), status["max_slots"]), (pool, status)


if __name__ == "__main__":
    main()
