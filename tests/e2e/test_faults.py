# SPDX-License-Identifier: MPL-2.0
"""Faults that come at a bad moment, several at once, or on purpose.

First what was seen to go wrong once, as plain stories; then a storm: random
kills and stops of everything under load, by a seed that is printed. SEEDS=n
or FROM=n choose other storms, SECONDS=n longer ones.
"""
import json
import os
import random
import re
import shutil
import signal
import time

import msgpack
import zmq

from harness import Place, alive, case, main, program, wait_until
from slotbus_client import MAGIC
from test_liveness import AGENT, Supervisor, agents_of, keepers, project, trees
from test_liveness import status, CASES_OF_LIVENESS if False else status  # noqa
