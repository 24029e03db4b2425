# SPDX-License-Identifier: MPL-2.0
"""Brokers that are killed or stopped under load, and herds that come back."""
import os
import signal
import time

import msgpack
import zmq

from campaign import Crew, Watch, check_logs, dice, lasts, lost, main, spread
from harness import alive, wait_until
from slotbus_client import MAGIC, Client, Session, host_identity, own_start

# Short runs for the load: what they hold they were given, all of it (I5).
SHORT = '[ "${SLOTBUS_SLOTS:-1}" = %d ] || exit 99; sleep 0.0%d; exit %d'


class Loaded(Crew):
    """Agents that stay, and short runs that come and go beside them."""

    def __init__(self, place, name, random):
        Crew.__init__(self, place, name)
        self.random, self.short, self.read, self.done = random, {}, 0, 0

    def load(self, most):
        while len(self.short) < most:
            slots = 2 if self.random.random() < 0.2 else 1
            code = self.random.randrange(1, 50)
            number = self.run(SHORT % (slots, self.random.randrange(1, 9), code),
                              options="-n %d" % slots)
            self.short[number] = code

    def collect(self):
        """None of the short runs may have noticed anything."""
        lines = self.shell.lines["stdout"]
        while self.read < len(lines):
            words = lines[self.read].split()
            self.read += 1
            if words[0] == "ended":
                expected = self.short.pop(int(words[1]), None)
                assert int(words[2]) == expected, (self.name, words, expected)
                self.done += 1


def serving(place, after):
    """Seconds from `after` to the first STATUS that a newcomer gets answered."""
    client = Client(place.endpoint)
    client.call("STATUS", "STATUS_OK")
    client.close()
    return time.monotonic() - after


def killed(place, count, shims=8, slots=4):
    """kill -9 at any moment: no agent is lost, no run notices (I1 to I7)."""
    random = dice()
    standing = slots - 2
    place.configure(max_slots=shims * slots, max_per_project=slots, timing={"ttl": "10s"})
    brokers = [place.broker()]
    watch = Watch(place, brokers[0])
    crews = [Loaded(place, "p%d" % i, random) for i in range(shims)]
    agents = {c: [c.agent(status=40 + i) for i in range(standing)] for c in crews}
    pids = {c: c.started(standing) for c in crews}
    before = {c: {a["token"]: a["pid"] for a in wait_until(
        lambda: watch.settled(c.name, standing), "the agents of " + c.name)} for c in crews}

    def load():
        for c in crews:
            c.collect()
            c.load(2)
    took = []
    for _ in range(count):
        wait_until(lasts(random.uniform(0, 0.15)), "some load", meanwhile=load)
        brokers[-1].signal(signal.SIGKILL)
        began = time.monotonic()
        assert brokers[-1].wait_exit() == -signal.SIGKILL, brokers[-1].text()
        brokers.append(place.broker(ready=False))
        took.append(serving(place, began))
        seen = watch.check()
        for c in crews:
            now = {a["token"]: a["pid"] for a in seen["agents"] if a["token"] in before[c]}
            assert now == before[c], (c.name, before[c], now)
    wait_until(lambda: not any(c.short for c in crews), "the load ends", 60,
               meanwhile=lambda: [c.collect() for c in crews])
    assert all(alive(p) for c in crews for p in pids[c])
    for c in crews:
        for i, number in enumerate(agents[c]):
            c.let_go(number)
            assert c.ended(number) == 40 + i
    wait_until(lambda: not watch.check().get("in_use"), "all slots are free")
    for c in crews:
        c.dismiss()
    epoch, token = check_logs(brokers)
    assert epoch == count + 1, (epoch, count)
    assert not lost(brokers), lost(brokers)
    spread("kill -9 to the first answer (promised: p99 1000)", took)
    print("# %d runs ended meanwhile, %d tokens" % (sum(c.done for c in crews), token), flush=True)


# Of T = 60 s: 0.5 s, 2 s, T/2, T-1, T+5, 2T
STOPS = (0.5 / 60, 2 / 60, 0.5, 59 / 60, 65 / 60, 2.0)


def stopped(place, count, stops=STOPS, ttl=1.5):
    """SIGSTOP: whatever it lasts, no session is lost (I12), and agents are
    untouched by what is shorter than T-D-G-K-H."""
    kept = ttl - 0.05 - 0.2 - 0.2 - 0.05
    place.configure(timing={"ttl": "%dms" % (1000 * ttl)})
    broker = place.broker()
    watch = Watch(place, broker)
    crew = Crew(place, "consilio")
    session = Session(place.endpoint, "idle")
    runs, ended = 0, []
    for share in stops * count:
        numbers = [crew.agent(status=7) for _ in range(2)]
        runs += 2
        pids = crew.started(runs)[-2:]
        wait_until(lambda: watch.settled("consilio", 2), "two agents", meanwhile=session.keep)
        trees = watch.trees()
        broker.signal(signal.SIGSTOP)
        wait_until(lasts(share * ttl), "the stop", meanwhile=session.keep)
        broker.signal(signal.SIGCONT)
        seen = watch.check()
        assert not lost([broker]), lost([broker])
        if share * ttl < 0.8 * kept:    # a shim that got no CPU meanwhile is no fault
            assert all(alive(p) for p in pids), (share, "agents were touched")
            assert {a["token"] for a in seen["agents"]} == set(trees), seen
        for number in numbers:
            crew.let_go(number)
        codes = [crew.ended(n) for n in numbers]
        ended.append((share, codes))
        watch.slots_return("consilio", trees)
        assert session.beat_ok()["epoch"] == 1
    session.close()
    crew.dismiss()
    check_logs([broker])
    assert not lost([broker]), lost([broker])
    for share in stops:
        print("# stopped for %.3f T: %d of %d agents ended by themselves" % (
            share, sum(c.count(7) for s, c in ended if s == share),
            sum(len(c) for s, c in ended if s == share)), flush=True)


class Herd:
    """Many sessions in one process; each is a socket and four numbers."""

    def __init__(self, place, size, beat):
        self.context = zmq.Context()
        self.context.set(zmq.MAX_SOCKETS, size + 10)
        place.at_end(self.context.destroy, 0)
        self.poller, self.beat = zmq.Poller(), beat
        self.members, self.behind = {}, []
        self.template = None
        for i in range(size):
            member = Session.__new__(Session)   # without its calls that wait
            Client.__init__(member, place.endpoint, context=self.context)
            member.number, member.session, member.epoch = i, None, 0
            member.token, member.seq, member.due = None, 0, 0.0
            self.members[member.socket] = member
            self.poller.register(member.socket, zmq.POLLIN)

    def say(self, member, verb, **keys):
        try:
            member.socket.send_multipart([MAGIC, msgpack.packb({"verb": verb, **keys})], zmq.DONTWAIT)
        except zmq.Again:
            pass

    def hear(self, member, said):
        verb = said["verb"]
        assert verb != "ERROR", said
        if verb == "WELCOME":
            member.session, member.epoch = said["session"], said["epoch"]
            self.say(member, "REQUEST", session=member.session, seq=1, count=1)
        elif verb == "GRANT":
            assert member.token in (None, said["first"]), said
            member.token = said["first"]
        elif verb == "BEAT_OK":
            assert "stops" not in said and "released" not in said, said
            member.epoch = max(member.epoch, said["epoch"])

    def turn(self):
        for socket, _ in self.poller.poll(5):
            for _ in range(10):
                try:
                    frames = socket.recv_multipart(zmq.DONTWAIT)
                except zmq.Again:
                    break
                self.hear(self.members[socket], msgpack.unpackb(frames[1]))
        now = time.monotonic()
        for member in self.members.values():
            if member.token and now >= member.due:
                member.seq += 1
                member.due = now + self.beat
                self.say(member, "BEAT", session=member.session, epoch=member.epoch,
                         seq=member.seq, holds=[member.token], acks=[1])

    def at(self, epoch):
        """Have all been answered by the broker of this epoch?"""
        return all(m.token and m.epoch == epoch for m in self.members.values())


def herd(place, count, size=1000):
    """A thousand sessions return to a new broker: all LIVE within 15 s, and
    each with the slot that it had."""
    beat = 1.0
    place.configure(max_slots=size, max_per_project=size, grant_burst=size,
                    timing={"beat": "1s", "ttl": "40s", "lock_delay": "5s"})
    brokers = [place.broker()]
    crowd = Herd(place, size, beat)
    for m in crowd.members.values():
        crowd.say(m, "HELLO", nonce=m.number + 1, project="h%d" % m.number, pid=os.getpid(),
                  start=own_start(), **host_identity())
    wait_until(lambda: crowd.at(1), "all are welcome and hold one", 60, meanwhile=crowd.turn)
    tokens = sorted(m.token for m in crowd.members.values())
    took, client = [], Client(place.endpoint)
    place.at_end(client.close)
    for i in range(count):
        brokers[-1].signal(signal.SIGKILL)
        brokers[-1].wait_exit()
        began = time.monotonic()
        brokers.append(place.broker())
        wait_until(lambda: crowd.at(i + 2), "all are LIVE again", 15, meanwhile=crowd.turn)
        took.append(time.monotonic() - began)
        seen = client.status()
        assert sorted(a["token"] for a in seen["agents"]) == tokens
        assert all(a["state"] == "active" for a in seen["agents"])
    assert not lost(brokers), lost(brokers)
    check_logs(brokers)
    spread("%d sessions LIVE again" % size, took)


if __name__ == "__main__":
    main(killed, stopped, herd)
