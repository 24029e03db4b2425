# SPDX-License-Identifier: MPL-2.0
"""Who is ended where a host cannot go on otherwise. A session of another host
says of itself what the test wants; on the own host there are real agents."""
import json
import os
import re
import signal
import time

from harness import CONFIG, alive, free_port, main, wait_until
from seed import by, day, row_of, status, supervisor, wrapper
from slotbus_client import Session

UNJUDGED = CONFIG["vm_limits"]
FAST = {"dwell": "200ms", "settle": "300ms", "healthy_for": "300ms", "grow_every": "100ms", "memory_grace": "100ms",
        "sample": "100ms"}
HOOKED = {**FAST, "notice": "1s"}       # time for a hook, also where others compile
MEMORY = {**UNJUDGED, "max_memory_percent": 90, "critical_memory_percent": 95}
GIB = 1 << 30
# Lives until it is asked to end, and says so.
AGENT = "echo running $$; while :; do sleep 0.05; done"


class Host(Session):
    """A shim of another host with 100 GiB: trees[token] are its GiB."""

    def __init__(self, endpoint, project, host):
        self.others, self.trees = 50.0, {}
        self.sampled = 0
        Session.__init__(self, endpoint, project, host=host, machine="%032x" % 0xfa4e, cores=8,
                         memory_bytes=100 * GIB, boot="00000000-0000-4000-8000-%012x" % 0xfa4e)

    def keep(self):
        if time.monotonic() - self.sampled > 0.02:
            self.sampled = time.monotonic()
            trees = [{"token": t, "memory_bytes": n * GIB} for t, n in self.trees.items()]
            self.send("FOOTPRINT", session=self.session, trees=trees)
            self.send("SAMPLE", session=self.session, at_ms=int(time.time() * 1000),
                      memory_percent=self.others + sum(self.trees.values()))
        Session.keep(self)
        self.inbox = [m for m in self.inbox if m["verb"] != "OK"]

    def begin(self, gib):
        """A tree of so many GiB in a slot of its own; its token."""
        token = self.granted(1, run=True)[0]
        self.seq += 1
        self.call("STARTED", "OK", session=self.session, seq=self.seq, tokens=[token], pid=4711)
        self.trees[token] = gib
        until = time.monotonic() + 0.01     # the next one is newer, in ms
        wait_until(lambda: time.monotonic() > until, "a moment passes", meanwhile=self.keep)
        return token

    def stopped(self):
        return [m for m in self.inbox if m["verb"] == "STOP"]

    def end(self, token):
        self.trees.pop(token)
        self.holds.remove(token)
        self.seq += 1
        self.send("REAPED", session=self.session, seq=self.seq, tokens=[token], status=143)


def far_host(place, **changes):
    place.configure(insecure=True, bind=[place.endpoint, "tcp://127.0.0.1:%d" % free_port()], timing=FAST, **changes)
    broker = place.broker()
    return broker, Host(broker.wait_line(r"\bready\b.* endpoint=(tcp:\S+)").group(1), "consilio", "vm2")


def done(place, *argv):
    code, out, err = place.run(*argv)
    assert code == 0, (argv, code, out, err)
    return out


def agent(place, who, label, *words, project="p"):
    """A real agent that runs: (its `run`, its pid)."""
    run = place.start("slotbus", "run", "-p", project, "-l", label, *words, "--", "/bin/sh", "-c", AGENT, env=by(who))
    return run, int(run.wait_line(r"running (\d+)", "stdout").group(1))


@day
def memory_97_on_a_host_ends_one_of_it_and_the_pool_comes_back(place):
    broker, far = far_host(place, vm_limits=MEMORY)
    old, new = far.begin(10), far.begin(27)
    wait_until(lambda: "level=" not in broker.text(), "it is healthy", meanwhile=far.keep)
    status = far.status()
    assert [(a["victim"], a["why"]) for a in status["agents"] if a["token"] == new] == [(1, "priority 5, newest")], status
    far.others = 60.0
    stop = wait_until(far.stopped, "one is told to end", meanwhile=far.keep)[0]
    assert stop["tokens"] == [new] and stop["reason"] == "memory 97.0% of 95%: priority 5, newest", stop
    assert stop["notice_ms"] <= 100 and stop["grace_ms"] <= 100, stop
    far.end(new)
    broker.wait_line(r'victim   host="vm2" project=consilio token=%d slots=1 .* for=memory' % new)
    wait_until(lambda: re.search(r'settled  host="vm2" for=memory before=97.0 after=70.0 memory_bytes=%d' % (27 * GIB),
                                 broker.text()), "what it gave back is said", meanwhile=far.keep)
    wait_until(lambda: next(h for h in far.status()["hosts"] if h["host"] == "vm2")["effective"] == 8,
               "all is back", meanwhile=far.keep)
    assert {t for m in far.stopped() for t in m["tokens"]} == {new} and old in far.trees
    far.close()


@day
def memory_that_the_agents_have_not_got_costs_none_of_them(place):
    broker, far = far_host(place, vm_limits=MEMORY)
    far.begin(1), far.begin(1)
    far.others = 97.0
    wait_until(lambda: "memory from outside slotbus: nobody is ended for it" in broker.text(), "it is said",
               meanwhile=far.keep)
    out = done(place, "slotbus", "status", "--victims")
    assert re.search(r"^vm2, critical: memory 99.0% of 95%, memory from outside slotbus$", out, re.M), out
    until = time.monotonic() + 1
    wait_until(lambda: time.monotonic() > until, "some settling times go by", meanwhile=far.keep)
    assert not far.stopped()
    far.close()


@day
def relieve_kill_ends_the_newest_of_the_lowest_priority(place):
    hook = 'echo "$SLOTBUS_PROJECT $SLOTBUS_TOKENS $SLOTBUS_LABEL: $SLOTBUS_REASON" >>%s/saved' % place.path
    place.configure(notice_command=hook, timing=HOOKED, project_priorities={"high": 9, "low": 2})
    place.broker()
    who = supervisor(place)
    high, _ = agent(place, who, "precious", project="high")
    old, _ = agent(place, who, "old", project="low")
    new, pid = agent(place, who, "new", project="low")
    wait_until(lambda: [bool(a.get("pid")) for p in status(place)["projects"] for a in p["agents"]] == [True] * 3,
               "all trees are known")
    out = done(place, "slotbus", "status", "--victims")
    assert re.search(r"    1 low new \(slot 3\).*: priority 2, newest\n    2 low old \(slot 2\).*: priority 2\n"
                     r"    - high precious \(slot 1\).*: the last of the highest priority", out), out
    out = done(place, wrapper("kill-low-priority-agents"), "--dry-run")
    assert re.match(r"Would end low new \(slot 3\) on \S+: priority 2, newest$", out.strip()) and alive(pid), out
    out = done(place, wrapper("kill-low-priority-agents"), "--reason", "too warm here")
    assert re.match(r"Ended low new \(slot 3\) on \S+: priority 2, newest\n   1 slot released", out), out
    assert not alive(pid) and new.wait_exit() != 0
    with open(os.path.join(place.path, "saved")) as f:
        assert f.read() == "low 3 new: too warm here\n"
    answer = json.loads(done(place, "slotbus", "relieve", "--kill", "--json"))
    assert (answer["token"], answer["project"], answer["released"], answer["done"]) == (2, "low", 1, True), answer
    assert old.wait_exit() != 0
    code, out, err = place.run("slotbus", "relieve", "--kill")
    assert code != 0 and "nobody may be ended on" in err, (code, out, err)
    assert high.process.poll() is None


@day
def relieve_kill_that_waits_across_a_restart_ends_no_other_one(place):
    place.configure(timing=FAST)
    broker = place.broker()
    who = supervisor(place)
    agents = [agent(place, who, label) for label in ("old", "mid", "new")]
    wait_until(lambda: [bool(a.get("pid")) for a in row_of(place, "p")["agents"]] == [True] * 3, "all trees are known")
    relieve = place.start("slotbus", "relieve", "--kill")
    broker.wait_line(r"victim .* token=3 ")
    relieve.signal(signal.SIGSTOP)          # it hears of the end from the next broker
    broker.wait_line(r"ended .* token=3 ")
    broker.signal(signal.SIGKILL)
    broker.wait_exit()
    after = place.broker()
    wait_until(lambda: row_of(place, "p")["held"] == 2, "all is known again")
    relieve.signal(signal.SIGCONT)
    assert relieve.wait_exit() == 0, relieve.text()
    out = relieve.text("stdout")
    assert re.match(r"Ended p new \(slot 3\) on \S+: priority 5, newest\n   1 slot released", out), out
    assert alive(agents[0][1]) and alive(agents[1][1]) and "victim" not in after.text()


@day
def relieve_takes_a_quarter_and_it_comes_back(place):
    place.configure(timing=FAST)
    broker = place.broker()
    session = Session(place.endpoint, "consilio")
    session.granted(8)
    assert re.match(r"Would reduce the slots of \S+: 8 → 6\n", done(place, "slotbus", "relieve", "--dry-run"))
    out = done(place, wrapper("reduce-slots-emergency"))
    assert re.match(r"Slots of \S+: 8 → 6\n   2 slots too many in use", out), out
    broker.wait_line(r'relieve  id=\d+ uid=\d+ host="\S+" kill=false before=8 effective=6')
    wait_until(lambda: session.status()["effective"] == 8, "all is back", meanwhile=session.keep)
    session.close()


@day
def relieve_of_an_unknown_host_or_with_words_is_refused(place):
    place.broker()
    for argv, wanted, text in ((["--host", "nowhere"], 65, "no host nowhere"), (["--host", ""], 65, "name of a host"),
                               (["now"], 64, "what is 'now'"), (["--kill"], 65, "nobody may be ended on")):
        code, out, err = place.run("slotbus", "relieve", *argv)
        assert code == wanted and text in err, (argv, code, out, err)
    assert "nobody: no agent runs there" in done(place, "slotbus", "status", "--victims")


@day
def agent_over_its_projects_max_time_is_ended_after_notice(place):
    place.configure(timing=HOOKED, projects={"p": {"max_time": "300ms"}})
    broker = place.broker()
    who = supervisor(place)
    run, pid = agent(place, who, "slow", "--notice", "echo saved >%s/saved" % place.path)
    assert run.wait_exit() != 0 and not alive(pid)
    assert os.path.exists(os.path.join(place.path, "saved"))
    broker.wait_line(r"victim .* project=p token=1 .* for=runaway .*over its max_time")
    broker.wait_line(r"ended    host=.* token=1 released=1")
    wait_until(lambda: row_of(place, "p") is None or row_of(place, "p")["held"] == 0, "the slot is free")


@day
def hook_of_a_file_that_others_may_write_is_not_run(place):
    place.configure(notice_command="touch %s/hooked" % place.path, timing=HOOKED)
    place.broker()
    path = os.path.join(place.runtime, "notice_command")
    with open(path) as f:
        assert f.read() == "touch %s/hooked" % place.path
    os.chmod(path, 0o666)
    who = supervisor(place)
    agent(place, who, "first")
    run, _ = agent(place, who, "second")
    done(place, "slotbus", "relieve", "--kill")
    assert run.wait_exit() != 0
    assert not os.path.exists(os.path.join(place.path, "hooked"))


main()
