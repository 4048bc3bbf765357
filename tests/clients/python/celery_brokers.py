"""Celery that is told of all three nodes as brokers. Its workers and this program use the leader, which is killed.

Between BRPOP and its note about what is unacknowledged Celery may lose a message: here one for each worker, whose BRPOP outlives
its connection for a while. One whose worker lost its connection is delivered again. So this application does what Celery asks of
tasks that matter: they may be done twice, and what is not done in time is sent again. Nothing that was sent may be missing at the
end, and no more is done twice than was sent again, or than the two workers may have held when they lost their connection."""

import os
import subprocess
import sys
import time
from pathlib import Path

from play import Play

play = Play()
os.environ["CELERY_BROKERS"] = ",".join(map(str, play.nodes))
os.environ["CELERY_PORT"] = str(play.survivors[0])

from kombu.exceptions import OperationalError  # noqa: E402

from celery_tasks import ledger, note  # noqa: E402

# Two workers, three threads each, of which each has four messages fetched (worker_prefetch_multiplier).
HELD = 2 * 3 * 4


def worker(number):
    return subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "celery_tasks", "worker", "--pool", "threads", "--concurrency", "3",
         "--hostname", f"worker{number}@localhost", "--loglevel", "WARNING"],
        cwd=Path(__file__).parent, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )


def send(number, attempts):
    """Until it is said to be sent."""
    while True:
        attempts[number] = attempts.get(number, 0) + 1
        try:
            return note.delay(number)
        except (OperationalError, OSError):
            time.sleep(0.1)


def done():
    return [int(number) for number in ledger.lrange("done", 0, -1)]


def main():
    attempts = {}
    workers = [worker(number) for number in range(2)]
    try:
        assert send(0, attempts).get(timeout=30) == 0
        play.busy = 1
        for n in play.rounds(40):
            send(n + 1, attempts)
            time.sleep(0.01)
        while missing := set(attempts) - set(done()):
            time.sleep(5)
            for number in missing - set(done()):
                send(number, attempts)
    finally:
        for process in workers:
            process.terminate()
        for process in workers:
            process.wait(30)
    found = done()
    twice = {number for number in found if found.count(number) > 1}
    again = sum(attempts.values()) - len(attempts)
    assert len(twice) <= again + HELD, f"more was done twice than explains itself: {twice}"
    play.end(tasks=len(attempts), sent_again=again, twice=len(twice))


main()
