# SPDX-License-Identifier: MPL-2.0
"""history.db, HISTORY, `slotbus history`, and the forecasts that come of it."""
import glob
import json
import os
import re
import signal
import sqlite3
import time

from agents import Supervisor, agents_of, project, status
from harness import case, main, wait_until
from slotbus_client import Client, Refused, Session


def history(place, *arguments):
    code, out, err = place.run("slotbus", "history", "--json", *arguments)
    assert code == 0, (code, err)
    return json.loads(out)


def run_some(place, name, count, seconds="0.2", code=0, label="build"):
    """One after the other, each a real tree."""
    for _ in range(count):
        done, out, err = place.run("slotbus", "run", "-p", name, "-l", label, "--", "sh", "-c",
                                   "sleep %s; exit %d" % (seconds, code))
        assert done == code, (done, out, err)


def ended(place, name, count):
    """Wait until so many runs of a project are in its history."""
    return wait_until(lambda: (lambda h: len(h["runs"]) >= count and h)(history(place, name)),
                      "%d runs in the history" % count)


@case
def run_is_in_the_history_with_status_memory_and_time(place):
    place.configure()
    place.broker()
    code, _, err = place.run("slotbus", "run", "-p", "consilio", "-l", "auth", "--", "/usr/bin/python3", "-c",
                             "import time; x = bytearray(30 << 20); t = time.process_time()\n"
                             "while time.process_time() < t + 0.3: pass")
    assert code == 0, err
    run_some(place, "consilio", 1, code=3)
    seen = ended(place, "consilio", 2)
    failed, done = seen["runs"]
    assert (failed["outcome"], failed["status"], failed["label"]) == ("failed", 3, "build"), failed
    assert (done["outcome"], done["label"]) == ("done", "auth"), done
    assert done["memory_bytes"] > 30 << 20 and done["cpu_ms"] >= 300, done
    assert 300 <= done["run_ms"] < 30000 and done["forecast_ms"] is None, done
    assert abs(done["ended_ms"] - time.time() * 1000) < 60000
    assert seen["total"] == 2 and len(seen["days"]) in (1, 2), seen
    assert sum(d["slots"] for d in seen["days"]) == 2


@case
def kill_is_told_from_an_end_and_a_reservation_from_a_run(place):
    place.configure()
    place.broker()
    supervisor = Supervisor(place, "consilio")
    supervisor.run("echo running $$\nsleep 600\n")
    supervisor.started(1)
    wait_until(lambda: any(a["pid"] for a in agents_of(place, "consilio").values()), "it is known")
    assert place.run("slotbus", "kill", "consilio", "--yes")[0] == 0
    supervisor.ended(1)
    supervisor.tell("slotbus request consilio 2 --watch $$ && slotbus release consilio 2 --watch $$; echo given")
    supervisor.shell.wait_line("^given$", "stdout")
    seen = ended(place, "consilio", 3)
    assert [r["outcome"] for r in seen["runs"]] == ["released", "released", "killed"], seen
    assert sum(d["kills"] for d in seen["days"]) == 1, seen


@case
def history_outlives_the_broker_and_teaches_the_next_one(place):
    place.configure()
    broker = place.broker()
    run_some(place, "consilio", 6, "0.4")
    ended(place, "consilio", 6)
    broker.signal(signal.SIGTERM)
    assert broker.wait_exit() == 0
    broker = place.broker()
    assert history(place)["total"] == 6
    supervisor = Supervisor(place, "consilio")
    supervisor.run("echo running $$\nsleep 600\n", options="-l build")
    supervisor.started(1)
    # in a second: it runs 0.4 s or a little more as a rule
    seen = wait_until(lambda: project(place, "consilio")["eta_s"], "a forecast")
    assert 1 <= seen[0] <= seen[1], seen
    code, out, _ = place.run("slotbus", "status")
    assert code == 0 and re.search(r"^Estimated completion: .*\d+ (second|minute|hour)", out, re.M), out
    code, out, _ = place.run("slotbus", "status", "consilio")
    assert code == 0 and re.search(r"^ETA: .*\d+ (second|minute|hour)", out, re.M), out
    broker.signal(signal.SIGKILL)
    broker.wait_exit()
    place.broker()
    assert history(place)["total"] == 6


@case
def what_filled_a_reservation_is_in_the_history_and_teaches_the_next_broker(place):
    place.configure()
    broker = place.broker()
    supervisor = Supervisor(place, "consilio")
    supervisor.tell("slotbus request consilio 1 --watch $$; for i in 1 2 3 4 5 6; do "
                    "slotbus run -p consilio -l build -- /usr/bin/python3 -c 'import time; time.sleep(0.3)'; done; "
                    "slotbus release consilio 1 --watch $$; echo given")
    supervisor.shell.wait_line("^given$", "stdout")
    seen = ended(place, "consilio", 7)
    held, runs = seen["runs"][0], seen["runs"][1:]
    assert (held["outcome"], held["label"], held["memory_bytes"], held["cpu_ms"]) == ("released", "", None, None), held
    assert all((r["outcome"], r["label"], r["token"]) == ("done", "build", held["token"]) for r in runs), runs
    assert all(r["run_ms"] >= 300 and r["memory_bytes"] and r["cpu_ms"] for r in runs), runs
    assert sum(r["run_ms"] for r in runs) <= held["run_ms"], seen
    assert sum(d["slot_ms"] for d in seen["days"]) == held["run_ms"], seen      # not twice
    assert sum(d["slots"] for d in seen["days"]) == 1 == seen["total"], seen
    label, = seen["labels"]
    assert (label["label"], label["runs"]) == ("build", 6), label
    assert label["memory_p90_bytes"] > 1 << 20 and 300 <= label["run_p50_ms"] <= label["run_p90_ms"], label
    broker.signal(signal.SIGTERM)
    assert broker.wait_exit() == 0
    place.broker()
    supervisor.run("echo running $$\nsleep 600\n", options="-l build")
    supervisor.started(1)
    seen = wait_until(lambda: project(place, "consilio")["eta_s"], "a forecast")
    assert 1 <= seen[0] <= seen[1], seen


@case
def forecasts_are_stored_and_scored(place):
    place.configure()
    place.broker()
    run_some(place, "consilio", 12, "0.3")
    seen = ended(place, "consilio", 12)
    with_forecast = [r for r in seen["runs"] if r["forecast_ms"]]
    assert len(with_forecast) == 7 == seen["scored"], seen
    inside = [r for r in with_forecast if r["forecast_ms"][0] <= r["run_ms"] <= r["forecast_ms"][1]]
    assert len(inside) == seen["inside"], seen
    code, out, _ = place.run("slotbus", "history", "--accuracy")
    assert code == 0 and re.search(r"consilio +\d+ %%  \(%d of 7 with a forecast; 12 ended\)" % len(inside), out), out
    accuracy = history(place, "--accuracy")["accuracy"]
    assert accuracy == [{"project": "consilio", "total": 12, "scored": 7, "inside": len(inside)}], accuracy


@case
def agent_that_says_how_far_it_is_has_a_forecast(place):
    place.configure()
    place.broker()
    supervisor = Supervisor(place, "consilio")
    go = os.path.join(place.path, "go")
    supervisor.run("echo running $$\nuntil [ -e \"$1\" ]; do sleep 0.02; done\n"
                   "sleep 1.5\nslotbus progress 50\nsleep 600\n", go=go)
    supervisor.started(1)
    assert project(place, "consilio")["eta_s"] is None
    open(go, "w").close()
    low, high = wait_until(lambda: project(place, "consilio")["eta_s"], "a forecast")
    assert 1 <= low <= high <= 30, (low, high)
    assert status(place)["eta_s"], status(place)


@case
def damaged_history_is_moved_aside_and_the_broker_serves(place):
    place.configure()
    broker = place.broker()
    run_some(place, "consilio", 1)
    ended(place, "consilio", 1)
    broker.signal(signal.SIGKILL)
    broker.wait_exit()
    for path in glob.glob(os.path.join(place.state, "history.db*")):
        with open(path, "r+b") as f:
            f.write(b"\xa5" * 8192)
    broker = place.broker()
    broker.wait_line(r"history .*moved=")
    assert history(place)["total"] == 0
    run_some(place, "consilio", 1)
    ended(place, "consilio", 1)
    assert os.path.exists(os.path.join(place.state, "history.db.damaged"))


@case
def history_that_somebody_holds_costs_history_only(place):
    place.configure()
    broker = place.broker()
    run_some(place, "consilio", 1)
    ended(place, "consilio", 1)
    broker.signal(signal.SIGTERM)
    broker.wait_exit()
    other = sqlite3.connect(os.path.join(place.state, "history.db"))
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    broker = place.broker()
    broker.wait_line(r"history .*kept=")
    run_some(place, "consilio", 1)
    code, _, err = place.run("slotbus", "history")
    assert code == 65 and "no history" in err, (code, err)
    other.close()


@case
def empty_history_says_so_and_is_no_failure(place):
    place.configure()
    place.broker()
    code, out, err = place.run("slotbus", "history")
    assert (code, err) == (0, ""), (code, err)
    assert out.startswith("Nothing has ended since 2"), out
    code, out, _ = place.run("slotbus", "history", "consilio", "--since", "2h")
    assert code == 0 and out.startswith("Nothing of consilio has ended since 2"), out
    assert history(place, "consilio") | {"since_ms": 0} == {
        "schema": 1, "project": "consilio", "since_ms": 0, "total": 0, "scored": 0, "inside": 0, "days": [],
        "labels": [], "runs": [], "accuracy": []}


@case
def table_fits_the_terminal_and_shows_no_foreign_bytes(place):
    place.configure()
    place.broker()
    run_some(place, "consilio", 3, label="\x1b[31mred")
    run_some(place, "odin", 1)
    ended(place, "consilio", 3)
    ended(place, "odin", 1)
    for width in 80, 120:
        code, out, _ = place.run("slotbus", "history", env={"COLUMNS": str(width)})
        assert code == 0
        assert max(map(len, out.splitlines())) <= width, out
        assert re.search(r"^consilio$", out, re.M) and re.search(r"^odin$", out, re.M), out
        assert re.search(r"^   \d{4}-\d\d-\d\d +0\.\d\d  #+ +3 ", out, re.M), out
    code, out, _ = place.run("slotbus", "history", "consilio")
    assert code == 0 and "Newest runs:" in out and "\x1b" not in out and r"\x1b[31mred" in out, out
    assert out.count("done") == 3, out
    assert re.search(r"^By label:$", out, re.M), out
    assert re.search(r"^   \\x1b\[31mred +3  \d+ m?s / .* +\d+ MB +(?:\d+ m?s|-)$", out, re.M), out
    assert len(re.findall(r"  \d+ m?s +\d+ m?s +\d+ MB +(?:\d+ m?s|-) +done$", out, re.M)) == 3, out
    assert max(map(len, out.splitlines())) <= 80, out


@case
def wrong_words_are_refused_with_their_reason(place):
    for words, expected, sentence in (
            (["--since", "yesterday"], 65, "7d, 2h or a day"),
            (["--since", "2026-02-31"], 65, "7d, 2h or a day"),
            (["a", "b"], 64, "what is 'b'"),
            (["../x"], 65, "not the name of a project"),
            (["--sinse", "7d"], 64, "did you mean --since"),
            ([], 69, "broker")):
        code, out, err = place.run("slotbus", "history", *words)
        assert code == expected and sentence in err and not out, (words, code, err)
    code, out, _ = place.run("slotbus", "history", "--help")
    assert code == 0 and "Examples:" in out and "--accuracy" in out, out


@case
def pages_are_followed_to_the_end(place):
    place.configure(max_slots=200, max_per_project=200)
    place.broker()
    shim = Session(place.endpoint, "consilio")
    for _ in range(3):
        shim.release(shim.granted(50))
    seen = ended(place, "consilio", 150)
    tokens = [r["token"] for r in seen["runs"]]
    assert len(tokens) == len(set(tokens)) == 150 == seen["total"], len(tokens)
    client = Client(place.endpoint)
    page = client.call("HISTORY", "HISTORY_OK", project="consilio")
    assert len(page["runs"]) == 64 and page["next"], page
    later = client.call("HISTORY", "HISTORY_OK", project="consilio", cursor=page["next"])
    assert later["runs"][0]["token"] not in [r["token"] for r in page["runs"]]
    client.close()
    shim.close()


@case
def questions_are_checked_and_a_crowd_of_them_is_no_harm(place):
    place.configure()
    place.broker()
    client = Client(place.endpoint)
    for keys in ({"project": "../etc"}, {"project": 7}, {"since_ms": -1}, {"cursor": "x"}, {"days": 1}):
        try:
            client.call("HISTORY", "HISTORY_OK", **keys)
            raise AssertionError("%s was answered" % keys)
        except Refused as why:
            assert why.error == "BAD_ARG", why
    for _ in range(200):
        client.send("HISTORY", days=True, cursor=2**63 - 1, since_ms=2**63 - 1)
    answers = [client.read(5) for _ in range(200)]
    kinds = {a["verb"] if a["verb"] != "ERROR" else a["error"] for a in answers}
    assert "HISTORY_OK" in kinds and kinds <= {"HISTORY_OK", "RATE"}, kinds
    client.close()


if __name__ == "__main__":
    main()
