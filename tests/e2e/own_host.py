# SPDX-License-Identifier: MPL-2.0
"""own_host - the broker's own host, with real agents on it and real figures

No figure is made up. What a busy test machine has anyway is measured first,
and limits are set beside it: so the same is seen on an idle one. What burns is
as nice as can be: it runs all the time, and costs nobody else anything.
"""
import os
import re
import signal

from agents import Supervisor
from harness import CONFIG, alive, wait_until
from seed import row_of, status
from slotbus_client import Subscriber

UNJUDGED = CONFIG["vm_limits"]
# Health at once; but a machine that burns is slow to end what it shall, and to
# run the hook that has to be through before that.
FAST = {"dwell": "300ms", "healthy_for": "300ms", "grow_every": "100ms", "settle": "300ms", "load_after": "300ms",
        "load_settle": "400ms", "memory_grace": "2s", "sample": "200ms", "health_interval": "100ms",
        "beat": "100ms", "ttl": "10s", "notice": "2s", "grace": "2s", "kill_confirm": "2s"}

# Waits for $1.start, then burns in COUNT processes until $1 is there: not for
# ever, whatever becomes of us.
BURNS = r"""
burn () { exec nice -n 19 timeout 60 sh -c 'until [ -e "$0" ]; do :; done' "$1"; }
echo running $$
until [ -e "$1.start" ]; do sleep 0.05; done
i=0; while [ $i -lt COUNT ]; do burn "$1" & i=$((i+1)); done
until [ -e "$1" ]; do sleep 0.05; done
exit $2
"""
IDLE = "echo running $$; until [ -e \"$1\" ]; do sleep 0.05; done; exit $2\n"


def touch(path):
    open(path, "w").close()


class Host:
    """The broker's own, as its topics say: every message of health is kept."""

    def __init__(self, place, limits=UNJUDGED, **changes):
        self.place, self.changes = place, changes
        self.hook = os.path.join(place.path, "saved")
        self.configure(limits)
        self.broker = self.start()
        self.crew = Supervisor(place, "consilio")
        self.subscriber = Subscriber(place.events, "health.", "pool.")
        place.at_end(self.subscriber.close)
        self.samples, self.pool = [], {}
        self.files = []

    def start(self):
        return self.place.broker()

    def configure(self, limits):
        hook = 'echo "$SLOTBUS_PROJECT $SLOTBUS_TOKENS $SLOTBUS_LABEL: $SLOTBUS_REASON" >>%s' % self.hook
        self.place.configure(**{"timing": FAST, "notice_command": hook, **self.changes,
                                "vm_limits": {**UNJUDGED, **limits}})

    def limits(self, limits):
        """It reads other ones."""
        self.configure(limits)
        at = len(self.broker.lines["stderr"])
        self.broker.signal(signal.SIGHUP)
        self.broker.wait_line(r"\] reload ", start=at)

    def listen(self):
        """Takes what has been published; the newest sample."""
        while self.subscriber.socket.poll(0):
            topic, message = self.subscriber.wait()
            if topic.startswith("health.") and [message] != self.samples[-1:]:
                self.samples.append(message)
            elif topic.startswith("pool."):
                self.pool.update(cause="")
                self.pool.update(message)
        return self.samples[-1] if self.samples else {}

    def wait(self, true, what):
        return wait_until(lambda: self.listen() and true(), what)

    def effective(self, slots):
        self.wait(lambda: self.pool.get("effective") == slots, "effective is %d" % slots)

    def level(self, metric, level):
        return self.wait(lambda: self.listen().get(metric + "_level") == level and self.listen(),
                         "%s is %s" % (metric, level))

    def lasts(self, ms):
        """So much time of the broker's samples goes by: those of it."""
        at = self.wait(lambda: self.samples[-1]["at_ms"], "there are samples")
        first = len(self.samples)
        self.wait(lambda: self.samples[-1]["at_ms"] - at >= ms, "%d ms of samples" % ms)
        return self.samples[first:]

    def agent(self, script=IDLE, options=""):
        """One more: the file that ends it, and its number."""
        path = os.path.join(self.place.path, "go-%d" % len(self.files))
        self.files.append(path)
        return path, self.crew.run(script, go=path, options=options)

    def agents(self, count, script=IDLE):
        """So many that run: [(file, number, pid)]."""
        mine = []
        for _ in range(count):
            before = self.pids()
            path, number = self.agent(script)
            self.crew.started(len(before) + 1)
            mine.append((path, number, self.pids()[-1]))
        wait_until(lambda: row_of(self.place, "consilio")["held"] == len(self.pids())
                   and all(a.get("pid") for a in row_of(self.place, "consilio")["agents"]), "the agents are known")
        return mine

    def pids(self):
        return [int(p) for p in re.findall(r"^running (\d+)$", self.crew.shell.text("stdout"), re.M)]

    def waiting(self):
        """What is said to the one that waits."""
        return wait_until(lambda: status(self.place)["queue"], "one waits")[0]

    def said(self, word):
        """The lines of the broker that begin with that word."""
        return [line for line in self.broker.lines["stderr"] if "] " + word in line]

    def saved(self):
        """What the hook has written."""
        try:
            with open(self.hook) as f:
                return f.read().splitlines()
        except OSError:
            return []

    def nobody_was_ended(self, pids):
        assert not self.said("victim") and not self.saved(), (self.said("victim"), self.saved())
        assert all(map(alive, pids)), [p for p in pids if not alive(p)]
