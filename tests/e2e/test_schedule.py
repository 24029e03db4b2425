# SPDX-License-Identifier: MPL-2.0
"""People change the schedule: set-policy, set-priority, pause, resume."""
import re
import signal

from harness import main, wait_until
from seed import by, day, row_of, status, supervisor

REQUEST = ("slotbus", "request")


def done(place, *argv):
    code, out, err = place.run("slotbus", *argv)
    assert (code, err) == (0, ""), (argv, code, out, err)
    return out


def again(place, broker, number):
    """Another broker on the same state; the one before ends by that signal."""
    broker.signal(number)
    assert broker.wait_exit() == (0 if number == signal.SIGTERM else -number)
    return place.broker()


def request(place, who, project, count):
    code, out, err = place.run(*REQUEST, project, str(count), env=by(who))
    assert code == 0, (out, err)


def ask(place, who, project, count=1):
    """A request that waits; its lines are read while it does."""
    return place.start(*REQUEST, project, str(count), env=by(who))


@day
def what_was_changed_survives_a_kill_and_a_clean_restart(place):
    place.configure(projects={"odin": {"display": "Odin"}, "consilio": {}})
    broker = place.broker()
    assert done(place, "set-policy", "fair") == "Policy: fifo → fair"
    assert done(place, "set-priority", "odin", "8") == "Priority of odin: 5 → 8"
    assert done(place, "pause", "ODIN", "--reason", "until noon") == (
        "Paused odin: no request waits, no agents go on\n   To end it: slotbus resume odin")
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        broker = again(place, broker, number)
        odin = row_of(place, "odin")
        assert (odin["priority"], odin["paused"]) == (8, True), odin
        assert not row_of(place, "consilio")["paused"]
        assert status(place)["policy"] == "fair"
    assert done(place, "resume", "odin") == "Resumed odin: no request waits"
    assert done(place, "set-policy", "fifo") == "Policy: fair → fifo"
    broker = again(place, broker, signal.SIGKILL)
    assert (row_of(place, "odin")["paused"], status(place)["policy"]) == (False, "fifo")
    assert row_of(place, "odin")["priority"] == 8


@day
def a_file_that_changed_later_wins_and_a_command_after_it_wins_again(place):
    def read_again(**changes):
        place.configure(**changes)
        start = len(broker.lines["stderr"])
        broker.signal(signal.SIGHUP)
        broker.wait_line(r"\] reload ", start=start)

    place.configure(projects={"odin": {}})
    broker = place.broker()
    done(place, "set-policy", "fair")
    done(place, "set-priority", "odin", "8")
    read_again(projects={"odin": {}}, max_slots=6)          # says nothing of either
    assert (status(place)["policy"], row_of(place, "odin")["priority"]) == ("fair", 8)
    changed = {"projects": {"odin": {}}, "policy": "priority", "project_priorities": {"odin": 3}}
    read_again(**changed)
    assert (status(place)["policy"], row_of(place, "odin")["priority"]) == ("priority", 3)
    done(place, "set-policy", "fifo")
    done(place, "set-priority", "odin", "9")
    read_again(**changed)
    broker = again(place, broker, signal.SIGTERM)
    assert (status(place)["policy"], row_of(place, "odin")["priority"]) == ("fifo", 9)


@day
def a_paused_project_waits_with_its_reason_and_is_granted_at_once_when_it_is_resumed(place):
    place.configure(projects={"odin": {"display": "Odin"}})
    place.broker()
    who, other = supervisor(place), supervisor(place)
    request(place, who, "odin", 2)
    first = done(place, "pause", "odin", "--reason", "until\x1b noon")
    assert first.startswith("Paused odin: no request waits, 2 agents go on\n"), first
    waiter = ask(place, who, "odin", 3)
    waiter.wait_line(r"^Waiting for slots \(.*PAUSED: odin is paused: until\\x1b noon")
    wait_until(lambda: [w["reason"] for w in status(place)["queue"]] == ["PAUSED"], "it waits")
    request(place, other, "consilio", 1)                    # others go on
    page = done(place, "status")
    assert re.search(r"Odin: +2 agents; paused$", page, re.M), page
    assert re.search(r"Odin: +Waiting for 3 slots \(.*PAUSED: odin is paused: until", page), page
    assert re.search(r"^Paused Projects:\n   Odin: +slotbus resume odin$", page, re.M), page
    page = done(place, "status", "odin")
    assert "\nPaused: nothing is granted until slotbus resume odin\n" in page, page
    assert done(place, "pause", "odin").startswith(
        "odin is paused already: 1 request waits, 2 agents go on\n")
    assert done(place, "resume", "odin") == "Resumed odin: 1 request waits"
    waiter.wait_line(r"^Granted 3 slots to odin: ", "stdout")
    assert waiter.wait_exit() == 0
    assert done(place, "resume", "odin") == "odin was not paused: no request waits"


@day
def kill_says_how_to_pause_and_that_it_is_paused(place):
    place.broker()
    who = supervisor(place)
    request(place, who, "odin", 1)
    code, out, err = place.run("slotbus", "kill", "odin", "--yes")
    assert code == 0 and err == ("slotbus: odin is not paused: it may ask again; to prevent that: "
                                 "slotbus pause odin"), (code, out, err)
    done(place, "pause", "odin")
    code, out, err = place.run("slotbus", "kill", "odin", "--yes")
    assert code == 0 and err == "slotbus: odin is paused, until slotbus resume odin", (code, err)


@day
def policy_and_priorities_decide_who_of_those_that_wait_is_next(place):
    place.configure(max_slots=2)
    place.broker()
    holder, low, high = (supervisor(place) for _ in range(3))
    request(place, holder, "consilio", 2)
    first = ask(place, low, "low")
    first.wait_line("Waiting for slots")
    second = ask(place, high, "high")
    second.wait_line(r"Waiting for slots .*position 2")
    assert done(place, "set-priority", "high", "10") == (
        "Priority of high: 5 → 10 (takes effect under fair and priority; the policy is fifo)")
    assert done(place, "set-policy", "priority") == (
        "Policy: fifo → priority\n   2 requests in the queue, now in its order")
    second.wait_line(r"Waiting for slots .*position 1")
    assert re.search(r"^   Policy: priority$", done(place, "status"), re.M)
    assert done(place, "set-policy", "priority") == "Policy unchanged: priority"
    assert place.run("slotbus", "release", "consilio", "1", env=by(holder))[0] == 0
    assert second.wait_exit() == 0
    assert first.process.poll() is None


@day
def three_that_ask_together_get_the_shares_of_the_seed_also_across_a_kill(place):
    place.configure(max_slots=20, max_per_project=10, policy="fair", timing={"gather": "3s"})
    broker = place.broker()
    waiters = {name: ask(place, supervisor(place), name, count)
               for name, count in (("consilio", 10), ("openhorizon", 8), ("odin", 6))}
    wait_until(lambda: [w["reason"] for w in status(place)["queue"]] == ["PACING"] * 3, "the three are gathered")
    again(place, broker, signal.SIGKILL)
    for name, words in (("consilio", "8 of 10"), ("openhorizon", "7 of 8"), ("odin", "5 of 6")):
        assert waiters[name].wait_exit() == 0
        assert waiters[name].text("stdout").startswith("Granted %s slots to %s: " % (words, name))
    assert [row_of(place, name)["target"] for name in waiters] == [8, 7, 5]


@day
def idle_reservations_go_to_whom_they_were_asked_back_for(place):
    place.configure(max_slots=4, max_per_project=4, policy="fair", reclaim_idle="300ms")
    broker = place.broker()
    who, other = supervisor(place), supervisor(place)
    request(place, who, "consilio", 4)
    agent = place.start("slotbus", "run", "-p", "consilio", "--", "/bin/sh", "-c", "echo in; read x",
                        stdin=-1, env=by(who))
    agent.wait_line("^in$", "stdout")
    code, out, err = place.run(*REQUEST, "odin", "2", "--min", "2", env=by(other))
    assert code == 0 and out.startswith("Granted 2 slots to odin: "), (out, err)
    broker.wait_line(r"\] reclaim .*project=consilio count=\d+ for=odin")
    assert row_of(place, "consilio")["held"] == 2
    assert agent.process.poll() is None                     # what works is not asked for
    agent.process.stdin.close()
    assert agent.wait_exit() == 1


@day
def what_counts_as_idle_can_be_lowered_while_shims_live(place):
    place.configure(max_slots=4, max_per_project=4, policy="fair", reclaim_idle="10m")
    broker = place.broker()
    who, other = supervisor(place), supervisor(place)
    request(place, who, "consilio", 4)
    waiter = place.start(*REQUEST, "odin", "2", "--min", "2", env=by(other))
    waiter.wait_line("^Waiting for slots", "stderr")
    place.configure(max_slots=4, max_per_project=4, policy="fair", reclaim_idle="300ms")
    broker.signal(signal.SIGHUP)
    assert waiter.wait_exit() == 0
    assert waiter.text("stdout").startswith("Granted 2 slots to odin: "), waiter.text("stdout")
    assert row_of(place, "consilio")["held"] == 2


@day
def what_cannot_be_changed_is_refused_by_its_reason(place):
    place.configure(projects={"consilio": {}})
    broker = place.broker()
    for argv, code, words in (
            (["set-policy", "fare"], 65, "did you mean fair?"),
            (["set-priority", "consilo", "5"], 65, "no project consilo: is it consilio?"),
            (["pause", "consilo"], 65, "no project consilo: is it consilio?"),
            (["resume", "zebra"], 65, "no project zebra: slots.yaml does not name it"),
            (["set-priority", "consilio", "1001"], 65, "expected 0..1000, got '1001'")):
        status_, out, err = place.run("slotbus", *argv)
        assert (status_, out) == (code, "") and words in err, (argv, status_, out, err)
    broker.signal(signal.SIGKILL)
    broker.wait_exit()
    for argv in (["set-policy", "fair"], ["set-priority", "p", "1"], ["pause", "p"], ["resume", "p"]):
        status_, out, err = place.run("slotbus", *argv)
        assert (status_, out) == (69, "") and place.runtime in err, (argv, status_, err)


main()
