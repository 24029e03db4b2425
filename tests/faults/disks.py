# SPDX-License-Identifier: MPL-2.0
"""disks - real disks that fill up or fail, and two brokers for one of them

The state lies on a small file system of its own in a mount namespace of its
own, which one process keeps open; brokers are started inside of it.

    SLOTBUS_BIN=build/debug-gcc tests/exec tests/faults/disks.py full 20
"""
import os
import re
import signal
import subprocess

import campaign
from harness import Skip, program, wait_until
from slotbus_client import Client, Session

LASTING = {"ttl": "20s"}    # a full disk is slow, and nobody shall be lost


class Disk:
    """A file system under place.state that only its own programs see."""

    def __init__(self, place, mount):
        os.makedirs(place.state, mode=0o700, exist_ok=True)
        self.place = place
        script = "%s && chmod 700 %s && echo there && exec cat" % (
            mount.format(state=place.state, folder=place.path), place.state)
        self.keeper = place.start("/usr/bin/unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", script,
                                  stdin=subprocess.PIPE, cwd=place.path)
        try:
            self.keeper.wait_line("there", "stdout")
        except AssertionError:
            raise Skip("no file system may be mounted here: %s" % self.keeper.text())

    def inside(self, *argv):
        return ("/usr/bin/nsenter", "--mount", "--target", str(self.keeper.pid), "--", *argv)

    def run(self, *argv):
        subprocess.run(self.inside(*argv), check=True, stdout=subprocess.DEVNULL)

    def broker(self, ready=True):
        started = self.place.start(*self.inside(program("slotbus-broker"), "--private", "--config",
                                                self.place.config_path))
        if ready:
            started.wait_line(r"\bready\b")
        return started

    def path(self, name):
        """Of a file of the state, as it is seen from here."""
        return "/proc/%d/root%s/%s" % (self.keeper.pid, self.place.state, name)

    def fill(self):
        """Until not one byte more fits."""
        with open(self.path("filler"), "ab", buffering=0) as f:
            for size in (65536, 1):
                try:
                    while True:
                        f.write(b"x" * size)
                except OSError:
                    pass


def in_use(client):
    return client.status().get("in_use", 0)


def full(place, count):
    """Each time: no grants (DISK), and all else goes on; of three times the
    broker is ended meanwhile, twice, or dies, and starts on the full disk."""
    place.configure(timing=LASTING, max_slots=100, max_per_project=100)
    disk = Disk(place, "mount -t tmpfs -o size=8m slotbus-test {state} && cd {state}")
    brokers = [disk.broker()]
    shim = Session(place.endpoint, "consilio")
    place.at_end(shim.close)
    kept = shim.granted(1)
    for i in range(count):
        tokens = shim.granted(6)
        at = len(brokers[-1].lines["stderr"])
        disk.fill()
        brokers[-1].wait_line(r"\] disk +full=true", start=at)
        seq = shim.request(2)
        assert shim.wait("QUEUED", seq=seq)["reason"] == "DISK"
        for token in tokens[:3]:
            shim.release([token])
        for how in ((), (signal.SIGTERM, signal.SIGTERM), (signal.SIGKILL,))[i % 3]:
            brokers[-1].signal(how)
            brokers[-1].wait_exit()
            disk.fill()
            brokers.append(disk.broker())
        shim.beat_ok()
        for token in tokens[3:]:
            shim.release([token])
        os.unlink(disk.path("filler"))
        grant = shim.wait("GRANT", seq=seq)     # by itself
        assert grant["count"] == 2, grant
        wait_until(lambda: os.path.getsize(disk.path("ballast")) == 1 << 20, "the ballast is whole",
                   meanwhile=shim.keep)
        assert shim.status()["in_use"] == 3     # kept, and the two
        shim.release(list(range(grant["first"], grant["first"] + 2)))
    assert shim.holds == kept
    assert not campaign.lost(brokers), campaign.lost(brokers)
    campaign.check_logs(brokers)


def trip(disk):
    """As the kernel does when it finds something wrong: read-only."""
    device = next(line.split()[2] for line in open("/proc/%d/mountinfo" % disk.keeper.pid)
                  if line.split()[4] == disk.place.state)
    name = os.path.basename(os.path.realpath("/sys/dev/block/" + device))
    try:
        with open("/sys/fs/ext4/%s/trigger_fs_error" % name, "w") as f:
            f.write("slotbus-test")
    except OSError as why:
        raise Skip("no such file system can be made to fail: %s" % why)


def read_only(place, count):
    """A disk that turns read-only is a failed disk: the broker ends with 74
    and has said nothing that is not on it, a start says what is wrong, and once
    it is mended all is there."""
    place.configure(timing=LASTING, max_slots=100, max_per_project=100)
    mount = "mount -o loop,errors=remount-ro {folder}/image {state}"
    subprocess.run("truncate -s 16M image && mkfs.ext4 -q -F image", shell=True, cwd=place.path, check=True)
    disk = Disk(place, mount + " && cd {state} && cd /")
    brokers = [disk.broker()]
    shim = Session(place.endpoint, "consilio")
    place.at_end(shim.close)
    tokens = []
    for _ in range(count):
        tokens += shim.granted(2)
        shim.beat_ok()
        disk.run("sync")
        trip(disk)
        seq = shim.request(2)
        assert brokers[-1].wait_exit() == 74, brokers[-1].text()
        refused = disk.broker(ready=False)
        assert refused.wait_exit() in (74, 78)
        assert re.search(r"[Rr]ead-only", refused.text()), refused.text()
        disk.run("umount", place.state)
        disk.run("sh", "-c", mount.format(state=place.state, folder=place.path))
        brokers.append(disk.broker())
        shim.beat_ok()
        assert sorted(a["token"] for a in shim.status()["agents"]) == tokens
        shim.send("REQUEST", session=shim.session, seq=seq, count=2)    # the resend
        grant = shim.wait("GRANT", seq=seq)
        assert grant["first"] > max(tokens)
        shim.release(list(range(grant["first"], grant["first"] + 2)))
    assert not campaign.lost(brokers), campaign.lost(brokers)
    campaign.check_logs(brokers)


def refused(broker, because):
    status = broker.wait_exit()
    assert status == 78, (status, broker.text())
    assert re.search(because, broker.text()), broker.text()


def second(place, count):
    """A second broker on the same state, on the same path, on the same host
    is refused, and the first one does not notice."""
    first = place.broker()
    shim = Session(place.endpoint, "consilio")
    place.at_end(shim.close)
    tokens = shim.granted(2)
    other = {"SLOTBUS_STATE_DIR": place.state + "-2", "SLOTBUS_RUNTIME_DIR": place.runtime + "-2"}
    for _ in range(count):
        for mine in ("SLOTBUS_STATE_DIR", "SLOTBUS_RUNTIME_DIR"):
            env = {k: v for k, v in other.items() if k != mine}
            refused(place.broker(ready=False, env=env), r"another broker, pid %d holds" % first.pid)
            shim.beat_ok()
    assert sorted(a["token"] for a in shim.status()["agents"]) == tokens
    assert len(re.findall(r"\] hello ", first.text())) == 1, first.text()
    assert not campaign.lost([first])
    campaign.check_logs([first])


def second_on_the_host(place, count):
    """Without --private there is one broker on a host."""
    first = place.start("slotbus-broker", "--config", place.config_path)
    try:
        first.wait_line(r"\bready\b")
    except AssertionError:
        raise Skip("this host has a broker: %s" % first.text())
    client = Client(place.endpoint)
    place.at_end(client.close)
    other = {"SLOTBUS_STATE_DIR": place.state + "-2", "SLOTBUS_RUNTIME_DIR": place.runtime + "-2"}
    for i in range(count):      # whom it asks answers the first few only
        refused(place.start("slotbus-broker", "--config", place.config_path, env=other),
                r"this host has a broker already%s.*--private" % (" .pid %d " % first.pid if i < 5 else ""))
        assert in_use(client) == 0


if __name__ == "__main__":
    campaign.main(full, read_only, second, second_on_the_host)
