"""What an application says to the test that runs it, and hears from it: see conftest.py."""

import json
import os
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor


class Play:
    """Ports, and the two signals."""

    def __init__(self):
        ports = json.loads(sys.argv[-1])
        self.nodes, self.survivors = ports["nodes"], ports["survivors"]
        self.killed = threading.Event()
        self.busy = 0
        self.lock = threading.Lock()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        if sys.stdin.readline() != "killed\n":
            os._exit(3)  # the test is gone
        self.killed.set()

    def rounds(self, count):
        """Numbers from 0: `count` before the kill, as many as there is time for around it, and `count` after it."""
        number = 0
        for _ in range(count):
            yield number
            number += 1
        with self.lock:
            self.busy -= 1
            if self.busy == 0:
                print("calm", flush=True)
        while not self.killed.is_set():
            yield number
            number += 1
        for _ in range(count):
            yield number
            number += 1

    def together(self, *roles):
        """Runs functions in threads. Each of them goes through `rounds` once. Returns what they return."""
        self.busy = len(roles)
        with ThreadPoolExecutor(len(roles)) as pool:
            return [done.result() for done in [pool.submit(or_die, role) for role in roles]]

    @staticmethod
    def end(**figures):
        print(json.dumps(figures), flush=True)


def or_die(role, *args):
    """An exception in a thread ends the program."""
    try:
        return role(*args)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def start(role, *args):
    """A thread beside the others, such as a consumer."""
    thread = threading.Thread(target=or_die, args=(role, *args))
    thread.start()
    return thread
