"""Network namespaces as machines of their own: what a test makes here it can cut and heal. Needs root and `ip`."""

import ctypes
import os
import shutil
import socket
import subprocess
import threading

CLONE_NEWNET = 0x40000000


def why_not():
    """Why this machine cannot do it, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not shutil.which("ip"):
        return "network namespaces need the command `ip` (iproute2)"
    name = f"q{os.getpid()}probe"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if made.returncode:
        return f"network namespaces are not allowed here: {made.stderr.strip()}"
    ip("netns", "del", name)
    return None


def ip(*args, check=True):
    subprocess.run(["ip", *args], check=check, capture_output=True, text=True)


class Network:
    """`count` namespaces on one bridge; number i has the address `hosts[i]`."""

    def __init__(self, count):
        self.tag = f"q{os.getpid() % 100_000}"
        subnet = f"10.{64 + os.getpid() % 128}.{os.getpid() // 128 % 256}"
        self.names = [f"{self.tag}n{i}" for i in range(count)]
        self.hosts = [f"{subnet}.{i + 1}" for i in range(count)]

    def __enter__(self):
        try:
            self._make()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_):
        self._remove()

    def _make(self):
        ip("link", "add", self.tag, "type", "bridge")
        ip("link", "set", self.tag, "up")
        for name, host in zip(self.names, self.hosts):
            ip("netns", "add", name)
            ip("link", "add", f"{name}v", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", f"{name}v", "master", self.tag, "up")
            ip("-n", name, "addr", "add", f"{host}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "link", "set", "eth0", "up")

    def _remove(self):
        for name in self.names:
            ip("link", "del", f"{name}v", check=False)
            ip("netns", "del", name, check=False)
        ip("link", "del", self.tag, check=False)

    def cut(self, index):
        ip("link", "set", f"{self.names[index]}v", "down")

    def heal(self, index):
        ip("link", "set", f"{self.names[index]}v", "up")


def socket_in(namespace, address, timeout):
    """A connection made from inside a namespace, usable from anywhere. A thread enters it, so that no other does."""
    result = []

    def connect():
        try:
            with open(f"/run/netns/{namespace}") as file:
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.setns(file.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f"cannot enter the namespace {namespace}")
            result.append(socket.create_connection(address, timeout=timeout))
        except OSError as error:
            result.append(error)

    thread = threading.Thread(target=connect)
    thread.start()
    thread.join()
    if isinstance(result[0], OSError):
        raise result[0]
    return result[0]
