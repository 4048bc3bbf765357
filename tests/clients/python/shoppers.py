"""People in a shop, which is the program that the arguments name: two processes of it, on two nodes that survive.

Every request goes to one of the two, in turn, as a load balancer sends them. What one has answered must be in the session when
the other one looks: sessions are read and written without retries, so that nobody loses what is in the cart, and everybody stays
logged in, while the leader is killed. No request may fail."""

import http.client
import json
import subprocess
import sys
import time
from functools import partial
from http.cookies import SimpleCookie
from socket import create_server

from play import Play


class Browser:
    """Keeps a cookie, and takes the two servers in turn."""

    def __init__(self, ports):
        self.connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=30) for port in ports]
        self.cookies, self.turn = SimpleCookie(), 0

    def get(self, what):
        self.turn += 1
        connection = self.connections[self.turn % len(self.connections)]
        cookie = "; ".join(f"{morsel.key}={morsel.coded_value}" for morsel in self.cookies.values())
        connection.request("GET", f"/{what}", headers={"Cookie": cookie} if cookie else {})
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == 200, (what, answer.status, text[-2000:])
        for line in answer.headers.get_all("Set-Cookie", []):
            self.cookies.load(line)
        return json.loads(text)


def shop_around(play, ports, user):
    browser, cart, hits = Browser(ports), [], []
    assert browser.get(f"login?user={user}") == {"user": user}
    for item in play.rounds(12):
        cart.append(item)
        assert browser.get(f"add?item={item}") == {"cart": cart}, "something was lost from a cart"
        assert browser.get("cart") == {"user": user, "cart": cart}
        hits.append(browser.get(f"hit?item={item}")["hits"])
    stolen = Browser(ports)
    stolen.cookies.load(browser.cookies.output(header="", sep=";"))
    browser.get("logout")
    assert stolen.get("cart") == {"user": None, "cart": None}, "logged out on one server, and not on the other"
    return hits


def wait_serving(ports):
    deadline = time.monotonic() + 30
    for port in ports:
        while True:
            try:
                Browser([port]).get("cart")
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)


def main():
    play = Play()
    ports = []
    for _ in play.survivors:
        with create_server(("127.0.0.1", 0)) as free:
            ports.append(free.getsockname()[1])
    shops = [
        subprocess.Popen([*sys.argv[1:-1], str(port), str(node)], stdout=subprocess.DEVNULL)
        for port, node in zip(ports, play.survivors)
    ]
    try:
        wait_serving(ports)
        hits = play.together(*[partial(shop_around, play, ports, f"user{n}") for n in range(4)])
    finally:
        for process in shops:
            process.kill()
            process.wait()
    seen = sorted(hit for list in hits for hit in list)
    assert seen == list(range(1, len(seen) + 1)), "a hit was lost or counted twice"
    play.end(requests=3 * len(seen) + 3 * len(hits))


main()
