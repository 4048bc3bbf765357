"""A RESP2 client over one blocking socket that never retries and never reconnects.

Client libraries resend commands by themselves; a test that counts what was acknowledged must not.
"""

import socket


class ErrorReply(Exception):
    """An error that the server answered. `code` is its first word."""

    @property
    def code(self):
        return str(self).split(" ", 1)[0]


class Connection:
    """One connection. Raises `ErrorReply` for error replies, `OSError` when the connection ends or times out."""

    def __init__(self, address, timeout=10.0, sock=None):
        self.address = address
        self.sock = sock or socket.create_connection(address, timeout=timeout)
        self.sock.settimeout(timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def call(self, *args):
        """Sends one command and returns its reply."""
        self.send(*args)
        reply = self.receive()
        if isinstance(reply, ErrorReply):
            raise reply
        return reply

    def pipeline(self, commands):
        """Sends many commands at once and returns their replies, errors among them as values."""
        self.sock.sendall(b"".join(encode(*command) for command in commands))
        return [self.receive() for _ in commands]

    def send(self, *args):
        self.sock.sendall(encode(*args))

    def receive(self):
        """The next reply; an error is returned, not raised."""
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return ErrorReply(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return self._bulk(int(rest))
        if kind == b"*":
            count = int(rest)
            return None if count < 0 else [self.receive() for _ in range(count)]
        raise AssertionError(f"not RESP2: {line!r}")

    def _bulk(self, length):
        if length < 0:
            return None
        while len(self.buffer) < length + 2:
            self._more()
        value, self.buffer = self.buffer[:length], self.buffer[length + 2 :]
        return value

    def _line(self):
        while True:
            end = self.buffer.find(b"\r\n")
            if end >= 0:
                line, self.buffer = self.buffer[:end], self.buffer[end + 2 :]
                return line
            self._more()

    def _more(self):
        data = self.sock.recv(1 << 18)
        if not data:
            raise ConnectionResetError(f"{self.address} closed the connection")
        self.buffer += data


def encode(*args):
    """A command as the array of bulk strings that clients send."""
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        data = arg if isinstance(arg, bytes) else str(arg).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)


def as_map(reply):
    """A map of RESP2, which is a flat list, as a dict with text keys and text or integer values."""

    def text(value):
        return value.decode() if isinstance(value, bytes) else value

    return {text(name): text(value) for name, value in zip(reply[::2], reply[1::2])}
