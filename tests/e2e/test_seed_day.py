# SPDX-License-Identifier: MPL-2.0
"""The seed's day through the seed's own commands, with a real broker."""
import re

from harness import alive, main, wait_until
from seed import (LIMITS, PROJECTS, by, day, in_use, row_of, status, supervisor, tree_members,
                  wrapper)


def configure(place, **changes):
    place.configure(**{"max_slots": 20, "max_per_project": 10, "vm_limits": LIMITS,
                       "projects": PROJECTS, **changes})


def request(place, who, project, count, *flags):
    code, out, err = place.run(wrapper("supervisor-request-slots"), project, str(count), *flags,
                               env=by(who))
    assert code == 0, err
    return out


def ask(place, who, project, count, *flags):
    """The same, without waiting for its end."""
    return place.start(wrapper("supervisor-request-slots"), project, str(count), *flags, env=by(who))


def pid_of(place, project, label):
    """Of the agent's command, once it is known."""
    def look():
        for agent in row_of(place, project)["agents"]:
            if agent["label"] == label and agent["pid"]:
                return agent["pid"]
        return None
    return wait_until(look, "%s runs" % label)


STATUS = r"""VM Resource Status

VM Health: Healthy
   CPU: (\d+\.\d% \(of 100% limit\)|unknown)
   RAM: \d+\.\d% \(of 99\.5% limit\)
   Load: \d+\.\d \(of 10000\.0 limit\)
   Disk: \d+%

Implementation Slots: 10/20 used

Active Projects:
   Consilio:     5 agents \(Features: Auth, Dashboard, API, Tests, Deploy\)
   OpenHorizon:  3 agents \(Features: Landing, Contact, Blog\)
   Odin:         2 agents \(Features: Parser, Validator\)

Queued Projects:
   Health-Agent: Waiting for 11 slots \(1 agent ahead\): position 1, \S+.*; ETA unknown
                 goes on with 1 slot: consilio's Auth

Estimated completion: unknown"""


@day
def g1_three_projects_hold_ten_of_twenty_in_the_layout_of_the_seed(place):
    configure(place, max_per_project=20)
    place.broker()
    first, second, third, fourth = (supervisor(place) for _ in range(4))
    assert request(place, first, "consilio", 5, "--label",
                   "Auth,Dashboard,API,Tests,Deploy") == "Granted 5 slots to consilio: 1-5"
    request(place, second, "openhorizon", 3, "--label", "Landing,Contact,Blog")
    request(place, third, "odin", 2, "--label", "Parser,Validator")
    ask(place, fourth, "health-agent", 11).wait_line(r"^Waiting for slots \(1 agent ahead\)")

    code, out, err = place.run(wrapper("resource-status"))
    assert code == 0 and err == "", err
    assert re.fullmatch(STATUS, out), out


@day
def g2_a_waiter_is_three_agents_behind_and_hears_of_its_grant_by_itself(place):
    configure(place)
    place.broker()
    first, second, third = (supervisor(place) for _ in range(3))
    request(place, first, "consilio", 8)
    request(place, second, "openhorizon", 10)
    waiter = ask(place, third, "odin", 5)
    waiter.wait_line(r"^Waiting for slots \(3 agents ahead\): position 1, SLOTS: .*; ETA unknown$")
    assert waiter.process.poll() is None
    whole = status(place)
    assert [(w["project"], w["count"], w["slots_ahead"], w["reason"]) for w in whole["queue"]] == [
        ("odin", 5, 3, "SLOTS")]

    code, out, err = place.run(wrapper("supervisor-release-slots"), "consilio", "3", env=by(first))
    assert (code, out) == (0, "Released 3 slots of consilio"), (out, err)
    waiter.wait_line(r"^Granted 5 slots to odin: ", "stdout")
    assert waiter.wait_exit() == 0
    assert in_use(place) == 20


@day
def g5_more_slots_let_the_queue_proceed(place):
    configure(place)
    place.broker()
    first, second, third = (supervisor(place) for _ in range(3))
    request(place, first, "consilio", 10)
    request(place, second, "openhorizon", 10)
    waiter = ask(place, third, "odin", 5)
    waiter.wait_line(r"^Waiting for slots \(5 agents ahead\)")
    code, out, err = place.run(wrapper("resource-set-max"), "30")
    assert code == 0, err
    assert out == ("Max slots increased: 20 → 30\n   10 additional slots available\n"
                   "   Queued projects can now proceed"), out
    assert waiter.wait_exit() == 0
    code, out, err = place.run(wrapper("resource-set-max"), "20")
    assert code == 0 and out == ("Max slots decreased: 30 → 20\n   5 slots too many in use: they "
                                 "go as agents end, none is ended"), out
    assert in_use(place) == 25


@day
def g6_kill_ends_one_project_frees_its_slots_and_wakes_who_waits(place):
    configure(place)
    place.broker()
    first, second, third = (supervisor(place) for _ in range(3))
    agents = [place.start("slotbus", "run", "-p", "consilio", "-l", name, "--", "/bin/sleep", "1000",
                          env=by(first)) for name in ("auth", "api", "tests", "docs", "ui")]
    pids = [pid_of(place, "consilio", name) for name in ("auth", "api", "tests", "docs", "ui")]
    other = place.start("slotbus", "run", "-p", "openhorizon", "-l", "blog", "--", "/bin/sleep", "1000",
                        env=by(second))
    other_pid = pid_of(place, "openhorizon", "blog")
    request(place, second, "openhorizon", 9)
    waiter = ask(place, third, "odin", 10)
    waiter.wait_line(r"^Waiting for slots \(5 agents ahead\)")

    code, out, err = place.run(wrapper("resource-kill"), "consilio")
    assert code == 0, err
    assert out == ("Killing all Consilio agents...\n   5 agents terminated\n   5 slots released\n"
                   "\nReason: User requested"), out
    assert not any(alive(pid) for pid in pids)
    assert waiter.wait_exit() == 0
    for agent in agents:
        assert agent.wait_exit() == 128 + 15, agent.text()
    assert alive(other_pid) and other.process.poll() is None
    assert row_of(place, "openhorizon")["held"] == 10
    assert row_of(place, "consilio")["held"] == 0
    assert tree_members(place, ":") != []   # openhorizon's


main()
