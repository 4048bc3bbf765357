"""Clients that write for as long as a test runs, and remember what was acknowledged and when.

Each writes keys of its own, `PREFIX:<client>:<n>`, one after the other on one connection, with no retries: what is
answered by an error or not at all is never sent again.
"""

import selectors
import socket
import threading
import time

from resp_client import encode

RECONNECT_PAUSE = 0.05
# Errors by which the server promises that the write did not and will not happen. LOADING: the node has just started.
NOT_APPLIED = ("NOQUORUM", "OVERLOADED", "LOADING")


class Writer:
    """One client."""

    def __init__(self, number, node, prefix):
        self.number, self.node, self.prefix = number, node, prefix
        self.sock = None
        self.buffer = b""
        self.n = 0  # the write that is under way or next
        self.waiting = False
        self.next_at = 0.0
        self.acked = []  # (time, n)
        self.errors = []  # (time, n, text)
        self.disconnects = []  # (time, n or None if nothing was under way)

    def key(self, n):
        return f"{self.prefix}:{self.number}:{n}"


class Load:
    """`clients` writers, spread evenly over `nodes`, in a thread of their own.

    `gap` is how long each waits between a reply and its next write; `value` makes the value of write n.
    """

    def __init__(self, nodes, clients=20, gap=0.004, prefix="c", value=str):
        self.writers = [Writer(i, nodes[i % len(nodes)], prefix) for i in range(clients)]
        self.gap, self.value = gap, value
        self.selector = selectors.DefaultSelector()
        self.ending = threading.Event()
        self.failure = None
        self.thread = threading.Thread(target=self._guarded, daemon=True)

    # Life.

    def start(self):
        for writer in self.writers:
            self._connect(writer)
            assert writer.sock, f"cannot connect to {writer.node}"
        self.thread.start()
        return self

    def stop(self):
        """Ends the writing. What is still under way stays unanswered."""
        self.ending.set()
        self.thread.join(30)
        assert not self.thread.is_alive(), "the writers did not stop"
        if self.failure:
            raise self.failure
        return self

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        if kind is None or not self.ending.is_set():
            self.stop()

    def _guarded(self):
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001, raised again by stop()
            self.failure = error
        finally:
            for writer in self.writers:
                if writer.sock:
                    writer.sock.close()
            self.selector.close()

    def _run(self):
        while not self.ending.is_set():
            now = time.monotonic()
            wake = now + 0.05
            for writer in self.writers:
                if writer.waiting:
                    continue
                if now >= writer.next_at:
                    if writer.sock is None:
                        self._connect(writer)
                    else:
                        self._send(writer)
                else:
                    wake = min(wake, writer.next_at)
            for key, _ in self.selector.select(max(0.0, wake - time.monotonic())):
                self._receive(key.data)

    def _connect(self, writer):
        try:
            sock = writer.node.open_socket(timeout=0.5)
        except OSError:
            writer.next_at = time.monotonic() + RECONNECT_PAUSE
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        writer.sock, writer.buffer = sock, b""
        self.selector.register(sock, selectors.EVENT_READ, writer)

    def _send(self, writer):
        command = encode("SET", writer.key(writer.n), self.value(writer.n))
        try:
            sent = writer.sock.send(command)
            while sent < len(command):  # large values: the socket's buffer may be full
                try:
                    sent += writer.sock.send(command[sent:])
                except BlockingIOError:
                    time.sleep(0.001)
        except OSError:
            # Part of it may have been taken: as unknown as a lost reply.
            writer.waiting = True
            self._lost(writer)
            return
        writer.waiting = True

    def _receive(self, writer):
        try:
            data = writer.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost(writer)
            return
        writer.buffer += data
        if not writer.buffer.endswith(b"\r\n"):
            return
        now = time.monotonic()
        reply, writer.buffer = writer.buffer[:-2], b""
        if not writer.waiting:
            writer.errors.append((now, None, f"unasked reply {reply!r}"))
            return
        if reply == b"+OK":
            writer.acked.append((now, writer.n))
        else:
            writer.errors.append((now, writer.n, reply.decode(errors="replace")))
        self._next(writer, now + self.gap)

    def _lost(self, writer):
        now = time.monotonic()
        self.selector.unregister(writer.sock)
        writer.sock.close()
        writer.sock = None
        writer.disconnects.append((now, writer.n if writer.waiting else None))
        self._next(writer, now + RECONNECT_PAUSE)

    @staticmethod
    def _next(writer, at):
        writer.n += 1
        writer.waiting = False
        writer.next_at = at

    # What it saw. May be asked while it runs.

    def of(self, nodes):
        return [writer for writer in self.writers if nodes is None or writer.node in nodes]

    def acknowledged(self):
        return sum(len(writer.acked) for writer in self.writers)

    def errors(self, nodes=None, since=0.0):
        """Error replies and lost connections, as text."""
        found = []
        for writer in self.of(nodes):
            found += [f"{writer.node}: {text}" for at, _, text in list(writer.errors) if at >= since]
            found += [f"{writer.node}: disconnected" for at, _ in list(writer.disconnects) if at >= since]
        return found

    def flowing(self, nodes, since):
        """Whether each client of these nodes has had a write acknowledged since then."""
        return all(writer.acked and writer.acked[-1][0] > since for writer in self.of(nodes))

    def pause(self, nodes, since, until):
        """The longest time without an acknowledgement that any client of these nodes had, seconds."""
        longest = 0.0
        for writer in self.of(nodes):
            times = [at for at, _ in list(writer.acked) if at <= until]
            first = next((i for i, at in enumerate(times) if at >= since), len(times))
            window = [*times[max(0, first - 1) :], until]
            longest = max([longest, *(b - a for a, b in zip(window, window[1:]))])
        return longest

    def verify(self, node):
        """Looks through `node` for what was promised: (lost, ghosts).

        lost: keys acknowledged that are missing or wrong. ghosts: keys there although the server said the opposite.
        """
        expected = {w.key(n): str(self.value(n)).encode() for w in self.writers for _, n in w.acked}
        refused = [
            w.key(n)
            for w in self.writers
            for _, n, text in w.errors
            if n is not None and text[1:].startswith(NOT_APPLIED)
        ]
        with node.connect(timeout=30) as connection:
            lost = [key for key, value in read(connection, list(expected)).items() if value != expected[key]]
            ghosts = [key for key, value in read(connection, refused).items() if value is not None]
        return lost, ghosts

    def assert_kept(self, node):
        """Every acknowledged write is there, and nothing that was refused."""
        lost, ghosts = self.verify(node)
        assert not lost, f"{len(lost)} of {self.acknowledged()} acknowledged writes lost on {node}: {lost[:10]}"
        assert not ghosts, f"{len(ghosts)} writes were applied although they were answered NOT applied: {ghosts[:10]}"


def read(connection, keys):
    found = {}
    for at in range(0, len(keys), 500):
        part = keys[at : at + 500]
        found.update(zip(part, connection.call("MGET", *part)))
    return found
