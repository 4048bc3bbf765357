"""RESP as bytes on a raw socket: what a server answered, reply by reply, not a byte lost."""
import socket
import time


class Reply:
    """One reply: its bytes exactly as sent, its value, and its elements if it has any."""

    __slots__ = ("raw", "kind", "value", "items")

    def __init__(self, raw, kind, value, items=None):
        self.raw, self.kind, self.value, self.items = raw, kind, value, items

    @property
    def is_error(self):
        return self.kind in b"-!"

    @property
    def text(self):
        return self.value.decode("latin-1") if isinstance(self.value, bytes) else repr(self.value)

    def __repr__(self):
        return repr(self.raw if len(self.raw) < 300 else self.raw[:300] + b"...")


class Incomplete(Exception):
    """More bytes are needed."""


def _line(buf, at):
    end = buf.find(b"\r\n", at)
    if end < 0:
        raise Incomplete
    return bytes(buf[at:end]), end + 2


def parse(buf, at=0):
    """The reply that begins at `at`, and where the next one does."""
    if at >= len(buf):
        raise Incomplete
    start, kind = at, buf[at:at + 1]
    line, at = _line(buf, at + 1)
    items, value = None, line
    if kind in (b"$", b"=", b"!"):
        n = int(line)
        if n < 0:
            value = None
        else:
            if len(buf) < at + n + 2:
                raise Incomplete
            value = bytes(buf[at:at + n])
            assert buf[at + n:at + n + 2] == b"\r\n", "a bulk string does not end where it said"
            at += n + 2
    elif kind in (b"*", b"~", b">", b"%", b"|"):
        n = int(line)
        if n < 0:
            value = None
        else:
            items = []
            for _ in range(n * (2 if kind in b"%|" else 1)):
                item, at = parse(buf, at)
                items.append(item)
            value = [i.value for i in items]
    elif kind in (b":", b"("):
        value = int(line)
    elif kind == b"#":
        value = line == b"t"
    elif kind == b"_":
        value = None
    elif kind == b",":
        value = float(line)
    elif kind not in (b"+", b"-"):
        raise AssertionError(f"not RESP: {bytes(buf[start:start + 100])!r}")
    return Reply(bytes(buf[start:at]), kind, value, items), at


def encode(*words):
    words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


class Raw:
    """A raw socket to a server."""

    def __init__(self, port, timeout=20, host="127.0.0.1"):
        self.sock = socket.create_connection((host, port), timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.timeout = timeout
        self.buf = bytearray()

    def send(self, data):
        self.sock.settimeout(self.timeout)
        self.sock.sendall(data)

    def read(self, timeout=None):
        """The next reply. ConnectionError at the end of the stream, TimeoutError in time."""
        deadline = time.monotonic() + (timeout or self.timeout)
        while True:
            try:
                reply, end = parse(self.buf)
            except Incomplete:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"no reply; received so far: {bytes(self.buf[:200])!r}") from None
                self.sock.settimeout(left)
                data = self.sock.recv(1 << 16)
                if not data:
                    raise ConnectionError(f"closed; received so far: {bytes(self.buf[:200])!r}") from None
                self.buf += data
                continue
            del self.buf[:end]
            return reply

    def call(self, *words, timeout=None):
        self.send(encode(*words))
        return self.read(timeout)

    def exchange(self, data, count, timeout=None):
        """Sends while it reads, so that neither side's buffers can block; `count` replies. An error holds those that
        came before it."""
        deadline = time.monotonic() + (timeout or self.timeout)
        view, replies, at = memoryview(data), [], 0
        self.sock.setblocking(False)
        buf = self.buf
        try:
            while len(replies) < count:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{len(replies)} of {count} replies; then {bytes(buf[at:at + 200])!r}")
                moved = False
                if view:
                    try:
                        view = view[self.sock.send(view[:1 << 16]):]
                        moved = True
                    except BlockingIOError:
                        pass
                try:
                    chunk = self.sock.recv(1 << 20)
                    if not chunk:
                        raise ConnectionError(f"closed after {len(replies)} of {count} replies")
                    buf += chunk
                    moved = True
                except BlockingIOError:
                    pass
                while len(replies) < count:
                    try:
                        reply, at = parse(buf, at)
                        replies.append(reply)
                    except Incomplete:
                        break
                if at > 1 << 20 or len(replies) == count:
                    del buf[:at]
                    at = 0
                if not moved:
                    time.sleep(0.0005)
        except (ConnectionError, TimeoutError) as error:
            error.replies = replies
            raise
        return replies

    def is_closed(self, timeout=5):
        """Whether the server ends the connection within this time; drops what it sends until then."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self.sock.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                if not self.sock.recv(1 << 16):
                    return True
            except TimeoutError:
                return False
            except ConnectionError:
                return True
        return False

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
