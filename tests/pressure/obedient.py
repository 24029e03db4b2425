# SPDX-License-Identifier: MPL-2.0
"""usage: obedient.py FOLDER [NAME]

An agent that holds as many MiB as FOLDER/target says, and ends with 0 once
FOLDER/done exists. What it is told by signals it does as any (agent.py).
"""
import os
import sys

from agent import Agent
from ground import read, write

PAUSE = 0.02    # and 1 MiB each time: 50 MiB/s at most


def main(folder, name="agent"):
    write(name, "/proc/self/comm")
    agent = Agent(folder, 1)
    while not os.path.exists(os.path.join(folder, "done")):
        agent.memory.hold(min(int(read(folder, "target")), len(agent.memory.held) + 1))
        write(len(agent.memory.held), folder, "held.new")
        os.replace(os.path.join(folder, "held.new"), os.path.join(folder, "held"))
        agent.rest(PAUSE)


if __name__ == "__main__":
    main(*sys.argv[1:])
