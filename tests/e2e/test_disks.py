# SPDX-License-Identifier: MPL-2.0
"""Disks that are full or fail, and several brokers for one state: a few turns
of each campaign of tests/faults/disks.py."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "faults"))

import disks
from harness import case, main


@case
def full_disk_grants_nothing_until_there_is_room(place):
    disks.full(place, 3)


@case
def disk_that_turns_read_only_costs_nothing_that_was_granted(place):
    disks.read_only(place, 2)


@case
def second_broker_on_the_same_state_or_path_is_refused(place):
    disks.second(place, 2)


@case
def second_broker_on_the_same_host_is_refused(place):
    disks.second_on_the_host(place, 2)


if __name__ == "__main__":
    main()
