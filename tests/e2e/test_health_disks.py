# SPDX-License-Identifier: MPL-2.0
"""Real small disks that fill up: said loudly, then nothing is granted, then all
goes on by itself; and nobody is ended for them."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "faults"))

from disks import Disk
from harness import main
from own_host import Host, touch
from seed import day


class SmallDisk(Disk):
    """One of so many kB, or of so many files."""

    def __init__(self, place, kb, files):
        self.small = os.path.join(place.path, "small")
        os.mkdir(self.small)
        Disk.__init__(self, place, "mkdir -p {state} && mount -t tmpfs -o size=%dk,nr_inodes=%d slotbus-test %s"
                      % (kb, files, self.small))
        self.folder = "/proc/%d/root%s" % (self.keeper.pid, self.small)

    def use(self, percent):
        """So much of its room, to a page."""
        with open(self.folder + "/filler", "wb") as f:
            fs = os.statvfs(self.folder)
            f.write(b"x" * (fs.f_frsize * int(fs.f_blocks * percent / 100)))

    def use_files(self, percent):
        fs = os.statvfs(self.folder)
        wanted = int(fs.f_files * percent / 100) - (fs.f_files - fs.f_ffree)
        for i in range(wanted):
            touch(self.folder + "/file-%d" % i)

    def clear(self):
        for name in os.listdir(self.folder):
            os.unlink(self.folder + "/" + name)


class DiskHost(Host):
    def __init__(self, place, disk):
        self.disk = disk
        Host.__init__(self, place, {"max_disk_percent": 90, "critical_disk_percent": 97}, disk_paths=[disk.small])

    def start(self):
        return self.disk.broker()


@day
def disk_at_91_is_said_loudly_and_at_98_nothing_is_granted_until_there_is_room(place):
    disk = SmallDisk(place, 4000, 1000)
    host = DiskHost(place, disk)
    pids = [pid for _, _, pid in host.agents(1)]
    disk.use(91.5)
    host.broker.wait_line(r"health   host=.* disk=degraded percent=91\.\d")
    assert host.level("disk", "degraded")["level"] == "degraded"
    pids += [pid for _, _, pid in host.agents(2)]       # grants go on
    assert host.pool["effective"] == 8, host.pool

    disk.use(98.2)
    host.broker.wait_line(r"health   host=.* disk=critical percent=98\.\d")
    _, number = host.agent()
    queued = host.waiting()
    assert queued["reason"] == "HEALTH", queued
    assert re.match(r"disk 98\.\d% of 97% \d+ s ago, nothing is granted", queued["detail"]), queued
    host.lasts(2000)
    assert host.waiting() and host.pool["effective"] == 8 and len(host.pids()) == 3
    host.nobody_was_ended(pids)

    disk.clear()
    host.crew.started(4)                                # by itself
    assert host.level("disk", "healthy")["level"] == "healthy"
    host.nobody_was_ended(host.pids())


@day
def disk_without_a_file_left_is_a_full_one(place):
    disk = SmallDisk(place, 4000, 200)
    host = DiskHost(place, disk)
    disk.use_files(98.5)
    host.broker.wait_line(r"health   host=.* inodes=critical percent=98\.\d")
    host.agent()
    assert re.match(r"inodes 98\.\d% of 97% .*nothing is granted", host.waiting()["detail"]), host.waiting()
    disk.clear()
    host.crew.started(1)


if __name__ == "__main__":
    main()
