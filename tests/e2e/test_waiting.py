# SPDX-License-Identifier: MPL-2.0
"""Whoever waits is told why, until when, and what would let it go on."""
import json
import re

from harness import main, wait_until
from seed import by, day, status, supervisor

ETA = r"ETA (at most )?\d+(-\d+)? (second|minute|hour)s?"


def ask(place, who, project, count=1, *flags):
    return place.start("slotbus", "request", project, str(count), *flags, env=by(who))


def granted(place, who, project, count=1):
    code, out, err = place.run("slotbus", "request", project, str(count), env=by(who))
    assert code == 0 and out.startswith("Granted"), (out, err)


def waiter_of(place, project):
    return next((w for w in status(place)["queue"] if w["project"] == project), None)


def lines_of(place, project):
    """What `status` says of one that waits: its line, and the one below it."""
    code, out, err = place.run("slotbus", "status")
    assert code == 0, err
    return re.search(r"^   %s: +Waiting for .*\n.*$" % project, out, re.M).group(0)


def queue_topic(place, project):
    code, out, err = place.run("slotbus", "events", "--json", "--topic", "queue." + project)
    assert code == 0, err
    return json.loads(out.splitlines()[-1])["requests"]


def finished_runs(place, who, project, count):
    for _ in range(count):
        code, out, err = place.run("slotbus", "run", "-p", project, "-l", "build", "--", "sleep", "0.1",
                                   env=by(who))
        assert code == 0, (out, err)


@day
def each_reason_is_shown_with_its_figure_a_forecast_and_the_way_out(place):
    place.configure(max_slots=2, max_per_project=1)
    place.broker()
    first, holder, third, fourth = (supervisor(place) for _ in range(4))
    finished_runs(place, first, "consilio", 6)
    running = place.start("slotbus", "run", "-p", "consilio", "-l", "build", "--", "sh", "-c",
                          "echo runs; exec sleep 600", env=by(first))
    running.wait_line("runs", "stdout")
    granted(place, holder, "odin")

    capped = place.start("slotbus", "run", "-p", "consilio", "-l", "build", "--", "true", env=by(first))
    capped.wait_line(r"^Waiting for slots \(1 agent ahead\): position 1, CAP: consilio holds 1 of its 1; " + ETA)
    capped.wait_line(r"^   goes on with 1 slot: consilio's build")
    short = ask(place, third, "zeus", 1, "--json")
    short.wait_line(r"^Waiting for slots \(1 agent ahead\): position 2, SLOTS: 0 of 2 free, 1 wanted; " + ETA)
    short.wait_line(r"^   goes on with 1 slot: consilio's build")
    behind = ask(place, fourth, "hera")
    behind.wait_line(r"^Waiting for slots \(2 agents ahead\): position 3, TURN: behind zeus's 1; ETA unknown$")
    behind.wait_line(r"^   goes on with 2 slots, in its turn$")

    code, out, err = place.run("slotbus", "pause", "zeus")
    assert code == 0, err
    short.wait_line(r"PAUSED: zeus is paused; ETA unknown$")
    short.wait_line(r"^   goes on with slotbus resume zeus$")
    assert "PAUSED: zeus is paused; ETA unknown\n" in lines_of(place, "zeus")
    assert lines_of(place, "zeus").endswith(" goes on with slotbus resume zeus")
    assert waiter_of(place, "zeus")["unblocks"] == "slotbus resume zeus"
    assert waiter_of(place, "zeus")["eta_s"] is None
    assert place.run("slotbus", "resume", "zeus")[0] == 0

    row = wait_until(lambda: (lambda w: w["eta_s"] and w)(waiter_of(place, "zeus")), "it has a forecast again")
    assert row["reason"] == "SLOTS" and row["unblocks"].startswith("1 slot: consilio's build"), row
    assert row["eta_s"][0] <= row["eta_s"][1] and row["age_ms"] >= 0 and row["min"] == 1, row
    assert re.search(ETA + r"\n +goes on with 1 slot: consilio's build", lines_of(place, "zeus"))
    code, out, err = place.run("slotbus", "status", "zeus")
    assert code == 0 and re.search(r"Waiting:\n   1 slot \(1 agent ahead\): position \d, SLOTS: .*" + ETA
                                   + r"\n      goes on with 1 slot: ", out), out
    told = wait_until(lambda: [q for q in queue_topic(place, "zeus") if q["eta_high_s"]], "the topic has it")
    assert told[0]["unblocks"].startswith("1 slot: consilio's build"), told

    assert place.run("slotbus", "kill", "consilio", "--yes", "--keep-queue")[0] == 0
    assert capped.wait_exit() == 0                      # no cap holds it back now
    assert short.wait_exit() == 0                       # and it gave back what it had
    waited = json.loads(short.text("stdout"))
    assert waited["granted"] == 1 and waited["waited_ms"] > 0, waited
    assert waited["waited_for"]["reason"] in ("SLOTS", "TURN", "PACING") and "unblocks" in waited["waited_for"], waited


@day
def one_who_waits_hears_only_what_is_news(place):
    place.configure(max_slots=1)
    place.broker()
    holder, waiting = supervisor(place), supervisor(place)
    granted(place, holder, "odin")
    waiter = ask(place, waiting, "zeus")
    waiter.wait_line("^   goes on with 1 slot: odin's slot")
    before = waiter.text()
    beats = place.run("slotbus", "request", "hera", "1", "--timeout", "1", env=by(waiting))
    assert beats[0] == 124                              # twenty beats, and one who came and went behind it
    assert waiter.text() == before, waiter.text()
    granted_at_once = place.run("slotbus", "release", "odin", "1", env=by(holder))
    assert granted_at_once[0] == 0 and waiter.wait_exit() == 0
    assert waiter.text() == before, waiter.text()


@day
def grant_without_waiting_says_so_in_json(place):
    place.broker()
    code, out, err = place.run("slotbus", "request", "odin", "2", "--json", env=by(supervisor(place)))
    assert code == 0 and json.loads(out)["waited_for"] is None, (out, err)


main()
