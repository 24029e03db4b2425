# SPDX-License-Identifier: MPL-2.0
"""garbage - connections that mean no good

As a program: garbage.py SEED ENDPOINT ENDPOINT ... It reads a number a line,
makes that many connections, to the endpoints in turn and AT_ONCE at a time,
and says how many of which kind it made. Everything that it opens it closes.
"""
import collections
import json
import queue
import random
import re
import socket
import struct
import sys
import threading

import msgpack

AT_ONCE = 16
PATIENCE = 5.0          # seconds for one step of one connection

SIGNATURE = b"\xff" + bytes(8) + b"\x7f"
GREETING = SIGNATURE + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity\x00\x00\x00\x00"
MORE, LONG, COMMAND = 1, 2, 4


def frame(body, flags=0):
    """A frame of ZMTP 3."""
    if len(body) > 255:
        return bytes([flags | LONG]) + struct.pack(">Q", len(body)) + body
    return bytes([flags, len(body)]) + body


def dial(endpoint):
    tcp = re.match(r"tcp://([\d.]+):(\d+)$", endpoint)
    peer = socket.socket(socket.AF_INET if tcp else socket.AF_UNIX)
    peer.settimeout(PATIENCE)
    peer.connect((tcp.group(1), int(tcp.group(2))) if tcp else endpoint[len("ipc://"):])
    return peer


def shake_hands(peer, identity=b""):
    """The honest beginning of a DEALER, but for the name that it chooses."""
    peer.sendall(GREETING)
    got = b""
    while len(got) < len(GREETING):
        more = peer.recv(len(GREETING) - len(got))
        if not more:
            raise ConnectionError("hung up on")
        got += more
    peer.sendall(frame(READY[:-4] + struct.pack(">I", len(identity)) + identity, COMMAND))


def mutated(dice, whole):
    """A few of its bytes changed, and cut or lengthened somewhere."""
    changed = bytearray(whole)
    for _ in range(dice.randrange(1, 5)):
        changed[dice.randrange(len(changed))] = dice.randrange(256)
    if dice.random() < 0.3:
        del changed[dice.randrange(len(changed)):]
    return bytes(changed) + dice.randbytes(dice.choice([0, 0, 7, 300]))


# -- kinds: each is given a connected socket and dice --

def says_nothing(peer, dice):
    pass


def resets(peer, dice):
    peer.sendall(GREETING[:dice.randrange(64)])
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def noise(peer, dice):
    peer.sendall(dice.randbytes(dice.randrange(1, 4096)))


def greeting_of_version_1(peer, dice):
    identity = dice.randbytes(dice.randrange(1, 255))
    peer.sendall(mutated(dice, bytes([len(identity) + 1, 0]) + identity + b"\x05\x00SLT1\x01\x00"))


def greeting_of_version_2(peer, dice):
    peer.sendall(mutated(dice, SIGNATURE + b"\x01\x05" + frame(b"") + frame(b"SLT1", MORE) + frame(b"x")))


def greeting_of_version_3(peer, dice):
    peer.sendall(mutated(dice, GREETING + frame(READY, COMMAND)))


def half_of_it(peer, dice):
    peer.sendall(GREETING[:dice.randrange(1, 64)])
    peer.shutdown(socket.SHUT_WR)
    while peer.recv(4096):
        pass


def garbage_frames(peer, dice):
    shake_hands(peer)
    peer.sendall(dice.randbytes(dice.randrange(1, 4096)))


def foreign_magic(peer, dice):
    shake_hands(peer)
    for magic in (b"SLT2", b"SLT", b"slt1", b"", dice.randbytes(4)):
        peer.sendall(frame(magic, MORE) + frame(msgpack.packb({"verb": "STATUS"})))


def garbage_bodies(peer, dice):
    shake_hands(peer)
    good = msgpack.packb({"verb": "REQUEST", "session": 2**63, "seq": 1, "count": 3, "labels": "a,b"})
    for _ in range(8):
        peer.sendall(frame(b"SLT1", MORE) + frame(mutated(dice, good)))


def too_many_frames(peer, dice):
    shake_hands(peer)
    peer.sendall(frame(b"SLT1", MORE) * dice.randrange(3, 3000))
    if dice.random() < 0.5:
        peer.sendall(frame(b""))


def too_large(peer, dice):
    shake_hands(peer)
    size = dice.choice([65537, 100000, 2**31, 2**63, 2**64 - 1])
    peer.sendall(frame(b"SLT1", MORE) + bytes([LONG]) + struct.pack(">Q", size))
    peer.sendall(bytes(min(size, 100000)))


KINDS = [says_nothing, resets, noise, greeting_of_version_1, greeting_of_version_2,
         greeting_of_version_3, half_of_it, garbage_frames, foreign_magic, garbage_bodies,
         too_many_frames, too_large]


def connect_once(endpoint, seed):
    dice = random.Random(seed)
    kind = dice.choice(KINDS)
    with dial(endpoint) as peer:
        try:
            kind(peer, dice)
        except (ConnectionError, socket.timeout):
            pass                # it hung up first, as it may
    return kind.__name__


def work(tasks, done):
    while True:
        task = tasks.get()
        try:
            done.put(connect_once(*task))
        except OSError as why:
            done.put("not connected: %s" % why)


def run(seed, endpoints):
    tasks, done, made = queue.Queue(), queue.Queue(), 0
    for _ in range(AT_ONCE):
        threading.Thread(target=work, args=(tasks, done), daemon=True).start()
    for line in sys.stdin:
        wanted = int(line)
        for i in range(made, made + wanted):
            tasks.put((endpoints[i % len(endpoints)], "%d.%d" % (seed, i)))
        made += wanted
        print(json.dumps(collections.Counter(done.get() for _ in range(wanted))), flush=True)


if __name__ == "__main__":
    run(int(sys.argv[1]), sys.argv[2:])
