# SPDX-License-Identifier: MPL-2.0
"""hosts - several machines on this one, with cables between them

A host is a network namespace and a mount namespace, both without a name: they
go when the last process in them does. Over its /etc/machine-id and the
kernel's boot_id lie files of its own, so its programs take it for a machine;
a veth pair leads from each host to the first one, which can be unplugged.
Pids and clocks are shared by all: a test sees every process, and measures on
one clock. What belongs to a host is what is in its network namespace.

    hub, vm2, vm3 = network (place, "hub", "vm2", "vm3")
    vm2.run ("slotbus", "status")
    vm2.unplug ()
"""
import glob
import os
import random
import shutil
import signal
import subprocess

from harness import Place, Skip, alive, program, wait_until

PORT = 7557
# Holds the namespaces until its stdin is closed, which the end of the test
# does as well.
ANCHOR = r"""
set -e
for id in /etc/machine-id /var/lib/dbus/machine-id; do
    [ ! -e $id ] || mount --bind "$1/machine-id" $id
done
mount --bind "$1/boot-id" /proc/sys/kernel/random/boot_id
ip link set lo up
echo ready
read -r _ || :
"""
PROBE = "ip link add probe0 type veth && mount --bind /proc/version /proc/sys/kernel/random/boot_id"
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin:/bin"


def require_namespaces():
    """Skip, saying why, where this machine lets nobody make hosts."""
    if os.geteuid() != 0:
        raise Skip("hosts need namespaces, and those need root")
    for name in ("ip", "unshare", "nsenter", "mount"):
        if not shutil.which(name, path=PATH):
            raise Skip("hosts need '%s'" % name)
    tried = subprocess.run(isolated("sh", "-c", PROBE), env={"PATH": PATH}, text=True,
                           stdin=subprocess.DEVNULL, capture_output=True)
    if tried.returncode:
        raise Skip("no namespaces here: %s" % " ".join(tried.stderr.split()))


def isolated(*argv):
    return [shutil.which("unshare", path=PATH), "--net", "--mount", "--propagation", "private",
            "--", *argv]


def own_cgroup():
    """The folder of this process's cgroup, below which trees have theirs."""
    with open("/proc/self/mountinfo") as f:
        mount = next((line.split()[4] for line in f if " - cgroup2 " in line), "/nonexistent")
    with open("/proc/self/cgroup") as f:
        return mount + next((line[3:].strip() for line in f if line.startswith("0::")), "")


def removed(folder):
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


class Host(Place):
    """A Place whose programs run on another machine."""

    def __init__(self, place, name, number):
        Place.__init__(self)
        self.name, self.address = name, "10.77.0.%d" % number
        self.started = place.started        # ended and reported with the place's
        self.anchor = self.net = self.cable = None
        self.env["SLOTBUS_HOST"] = name
        place.at_end(self.clean)
        os.makedirs(self.state, 0o700)
        self.become("%032x" % random.getrandbits(128), self.new_boot())
        self.isolate()

    @staticmethod
    def new_boot():
        digits = "%032x" % random.getrandbits(128)
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    def become(self, machine, boot):
        """From now on this is its identity. Files are written in place: what
        is mounted is the file, not its name."""
        self.machine, self.boot = machine, boot
        for path, text in ((os.path.join(self.path, "machine-id"), machine),
                           (os.path.join(self.path, "boot-id"), boot),
                           # read where the machine has no machine-id at all
                           (os.path.join(self.state, "host-id"), machine)):
            with open(path, "w") as f:
                f.write(text + "\n")

    def isolate(self):
        self.anchor = subprocess.Popen(
            isolated("sh", "-c", ANCHOR, "anchor", self.path), env={"PATH": PATH},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.anchor.stdout.readline() == "ready\n", "no namespaces for " + self.name
        self.net = os.readlink("/proc/%d/ns/net" % self.anchor.pid)
        assert self.net != os.readlink("/proc/self/ns/net")

    def inside(self, *argv):
        """The command line that runs this one here; it keeps its pid."""
        folder = "/proc/%d/ns/" % self.anchor.pid
        return [shutil.which("nsenter", path=PATH), "--net=%snet" % folder,
                "--mount=%smnt" % folder, "--", *argv]

    def start(self, *argv, **options):
        path = argv[0] if "/" in argv[0] else program(argv[0])
        return Place.start(self, *self.inside(path, *argv[1:]), **options)

    def ip(self, *argv):
        subprocess.run(self.inside(shutil.which("ip", path=PATH), *argv), check=True)

    def show(self, path, text):
        """From now on this file reads so here."""
        own = os.path.join(self.path, path.strip("/").replace("/", "-"))
        with open(own, "w") as f:
            f.write(text)
        subprocess.run(self.inside(shutil.which("mount", path=PATH), "--bind", own, path), check=True)

    # ---- its cable ----

    def connect(self, hub):
        """One address at each end, no net around them: so the hub can have
        the same one at each of its ends."""
        self.cable = (hub, "to-" + self.name)
        hub.ip("link", "add", self.cable[1], "type", "veth",
               "peer", "name", "eth0", "netns", str(self.anchor.pid))
        hub.ip("address", "add", hub.address, "peer", self.address, "dev", self.cable[1])
        self.ip("address", "add", self.address, "peer", hub.address, "dev", "eth0")
        self.ip("link", "set", "eth0", "up")
        self.plug()

    def plug(self):
        self.cable[0].ip("link", "set", self.cable[1], "up")

    def unplug(self):
        """At the other end, so that here nothing fails: it only gets lost."""
        self.cable[0].ip("link", "set", self.cable[1], "down")

    # ---- its processes ----

    def has(self, pid):
        try:
            return (os.readlink("/proc/%d/ns/net" % pid) == self.net
                    and pid != self.anchor.pid and alive(pid))
        except OSError:
            return False        # gone, or a zombie: in no namespace any more

    def pids(self):
        """All that runs here, whoever started it."""
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and self.has(int(name))]

    def agents(self):
        """Those that carry a lease's cookie."""
        def leased(pid):
            try:
                with open("/proc/%d/environ" % pid, "rb") as f:
                    return b"SLOTBUS_COOKIE=" in f.read()
            except OSError:
                return False
        return [pid for pid in self.pids() if leased(pid)]

    def signal(self, pid, number):
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            if self.has(pid):               # still the one that was meant
                signal.pidfd_send_signal(fd, number)
        except ProcessLookupError:
            pass
        finally:
            os.close(fd)

    def stop(self):
        """Everything stands still, also what was just being forked."""
        stopped = set()
        while not stopped >= set(self.pids()):
            for pid in set(self.pids()) - stopped:
                self.signal(pid, signal.SIGSTOP)
                stopped.add(pid)
        return stopped

    def go_on(self):
        for pid in self.pids():
            self.signal(pid, signal.SIGCONT)

    def crash(self):
        """As by a power cut: nothing here sees anything else die. Cgroups of
        trees are the kernel's and go with it."""
        stopped = self.stop()
        wait_until(lambda: not self.pids(), "all of %s is gone" % self.name, meanwhile=lambda: [
            self.signal(pid, signal.SIGKILL) for pid in self.pids()])
        for pid in stopped:                 # a keeper names its tree's after itself
            for folder in glob.glob("%s/slotbus-*-%d-*" % (own_cgroup(), pid)):
                wait_until(lambda: removed(folder), "%s is empty" % folder)

    def reboot(self):
        self.crash()
        shutil.rmtree(self.runtime, ignore_errors=True)
        self.become(self.machine, self.new_boot())

    def clean(self):
        try:
            if self.anchor:
                self.crash()
        finally:
            if self.anchor:
                self.anchor.stdin.close()
                self.anchor.wait()
            shutil.rmtree(self.path, ignore_errors=True)


def network(place, *names):
    """Hosts of these names; the first has a cable to each of the others."""
    require_namespaces()
    hosts = [Host(place, name, i + 1) for i, name in enumerate(names)]
    for host in hosts[1:]:
        host.connect(hosts[0])
        host.env["SLOTBUS_BROKER"] = endpoint(hosts[0])
    return hosts


def endpoint(hub):
    return "tcp://%s:%d" % (hub.address, PORT)
