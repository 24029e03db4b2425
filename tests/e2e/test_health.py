# SPDX-License-Identifier: MPL-2.0
"""What a host's health does to its slots. A session of another host says of
itself what the test wants; of its own host the broker sees what there is, and
the limits are set so that this is too much."""
import re
import signal
import time

from harness import CONFIG, Skip, case, free_port, main, wait_until
from slotbus_client import Session, Subscriber

UNJUDGED = CONFIG["vm_limits"]
FAST = {"dwell": "200ms", "healthy_for": "300ms", "grow_every": "100ms"}


class Host(Session):
    """A shim of another host, which samples it: as `figures` say."""

    def __init__(self, endpoint, project, host):
        self.figures = {}
        self.sampled = 0
        Session.__init__(self, endpoint, project, host=host, machine="%032x" % 0xfa4e,
                         boot="00000000-0000-4000-8000-%012x" % 0xfa4e)

    def keep(self):
        if time.monotonic() - self.sampled > 0.02:
            self.sampled = time.monotonic()
            self.send("SAMPLE", session=self.session, at_ms=int(time.time() * 1000), **self.figures)
        Session.keep(self)
        self.inbox = [m for m in self.inbox if m["verb"] != "OK"]

    def got(self, verb, **match):
        """The newest such message that has come, or None."""
        return next((m for m in reversed(self.inbox) if m["verb"] == verb
                     and all(m.get(k) == v for k, v in match.items())), None)


def row_of(client, host):
    return next(row for row in client.status()["hosts"] if row["host"] == host)


def pool(place, host):
    """What the topic of its pool said last."""
    subscriber = Subscriber(place.events, "pool." + host)
    place.at_end(subscriber.close)
    last = {}

    def newest():
        while subscriber.socket.poll(0):
            last.update(cause="")
            last.update(subscriber.wait("pool.")[1])
        return last
    return newest


@case
def memory_from_80_to_92_to_97_to_70_takes_slots_and_gives_them_back(place):
    place.configure(insecure=True, bind=[place.endpoint, "tcp://127.0.0.1:%d" % free_port()], timing=FAST,
                    vm_limits={**UNJUDGED, "max_memory_percent": 90, "critical_memory_percent": 95})
    broker = place.broker()
    tcp = broker.wait_line(r"\bready\b.* endpoint=(tcp:\S+)").group(1)
    far = Host(tcp, "consilio", "vm2")
    said = pool(place, "vm2")
    far.figures = {"memory_percent": 80.0}
    held = far.granted(8)
    wait_until(lambda: row_of(far, "vm2")["level"] == "healthy", "it is seen", meanwhile=far.keep)
    assert row_of(far, "vm2")["effective"] == 8

    far.figures = {"memory_percent": 92.0}
    wait_until(lambda: said().get("effective") == 6, "a quarter is taken", meanwhile=far.keep)
    assert said()["cause"] == "memory 92.0% of 90%", said()
    broker.wait_line(r'effective host="vm2" effective=6 max_slots=8 grants=true cause="memory 92.0% of 90%"')
    far.release(held[:1])
    waiting = far.request(1)
    queued = wait_until(lambda: far.got("QUEUED", seq=waiting), "it waits", meanwhile=far.keep)
    assert queued["reason"] == "HEALTH", queued
    assert re.match(r"memory 92.0% of 90% \d+ s ago, effective 6 of 8", queued["detail"]), queued

    far.figures = {"memory_percent": 97.0}
    wait_until(lambda: said().get("effective") == 4, "half is taken", meanwhile=far.keep)
    far.release(held[1:])   # all of it is free now, and nothing is granted
    status = wait_until(lambda: far.status() if row_of(far, "vm2").get("in_use", 0) == 0 else None,
                        "nothing is held", meanwhile=far.keep)
    assert status["effective_cause"].endswith("vm2: memory 97.0% of 95%"), status
    assert [w["reason"] for w in status["queue"]] == ["HEALTH"], status
    assert "nothing is granted" in status["queue"][0]["detail"], status
    assert not far.got("GRANT", seq=waiting)

    far.figures = {"memory_percent": 70.0}
    wait_until(lambda: far.got("GRANT", seq=waiting), "it is granted", meanwhile=far.keep)
    wait_until(lambda: said().get("effective") == 8, "all is back", meanwhile=far.keep)
    assert said()["cause"] == "", said()
    far.close()


@case
def disk_that_is_nearly_full_grants_nothing_and_takes_nothing(place):
    place.configure(insecure=True, bind=[place.endpoint, "tcp://127.0.0.1:%d" % free_port()], timing=FAST,
                    vm_limits={**UNJUDGED, "max_disk_percent": 90, "critical_disk_percent": 97})
    broker = place.broker()
    far = Host(broker.wait_line(r"\bready\b.* endpoint=(tcp:\S+)").group(1), "consilio", "vm2")
    far.figures = {"disk_percent": 91.5}
    wait_until(lambda: "disk=degraded percent=91.5" in broker.text(), "it is said loudly", meanwhile=far.keep)
    far.granted(2)
    far.figures = {"disk_percent": 98.0}
    wait_until(lambda: row_of(far, "vm2")["level"] == "critical", "it is critical", meanwhile=far.keep)
    waiting = far.request(1)
    queued = wait_until(lambda: far.got("QUEUED", seq=waiting), "it waits", meanwhile=far.keep)
    assert queued["reason"] == "HEALTH" and queued["detail"].startswith("disk 98.0% of 97%"), queued
    assert row_of(far, "vm2")["effective"] == 8 and row_of(far, "vm2")["in_use"] == 2
    far.figures = {"disk_percent": 50.0}
    wait_until(lambda: far.got("GRANT", seq=waiting), "it is granted", meanwhile=far.keep)
    far.close()


def memory_percent():
    with open("/proc/meminfo") as f:
        found = {line.split(":")[0]: int(line.split()[1]) for line in f}
    return 100 - 100 * found["MemAvailable"] / found["MemTotal"]


@case
def own_host_shrinks_and_a_reload_with_other_limits_gives_it_back(place):
    if not 3 < memory_percent() < 90:
        raise Skip("%.1f %% of the memory are in use here" % memory_percent())
    broker = place.broker()
    session = Session(place.endpoint, "consilio")
    tokens = session.granted(8)
    host = session.status()["hosts"][0]["host"]
    said = pool(place, host)
    place.configure(timing=FAST, vm_limits={**UNJUDGED, "max_memory_percent": 1})
    broker.signal(signal.SIGHUP)
    wait_until(lambda: said().get("effective") == 6, "a quarter is taken", meanwhile=session.keep)
    status = session.status()
    assert status["effective"] == 6 and status["level"] == "degraded", status
    assert status["effective_cause"].endswith("of 1%"), status
    code, out, err = place.run("slotbus", "status")
    assert code == 0 and " 8/8 used (effective 6: RAM " in out and "of 1% limit)" in out, out + err
    code, out, err = place.run("slotbus", "set-max", "12")
    assert code == 0 and "6 slots withheld for now: memory " in out, out + err
    session.release(tokens[:1])
    waiting = session.request(1)
    queued = session.wait("QUEUED", seq=waiting)
    assert queued["reason"] == "HEALTH" and queued["detail"].startswith("memory "), queued

    place.configure(timing=FAST, vm_limits={**UNJUDGED, "max_memory_percent": 100})
    broker.signal(signal.SIGHUP)
    session.wait("GRANT", seq=waiting)
    wait_until(lambda: said().get("effective") == 12, "all is back", meanwhile=session.keep)
    assert "effective_cause" not in session.status()
    session.close()


main()
