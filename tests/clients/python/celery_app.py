"""Tasks of Celery, with two real workers; broker and results in Quorate. All are connected to nodes that survive.

Celery is at most once while a message is on its way to a worker (BRPOP takes it before it is noted as unacknowledged) and at
least once behind that (`visibility_timeout`). No worker dies here and no connection breaks: each task is done exactly once."""

import os
import subprocess
import sys
from pathlib import Path

from play import Play

play = Play()
os.environ["CELERY_PORT"] = os.environ["CELERY_BROKERS"] = str(play.survivors[0])

from celery import chord, group  # noqa: E402

from celery_tasks import ledger, note, note_at_second_try, total  # noqa: E402


def worker(port, number):
    return subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "celery_tasks", "worker", "--pool", "threads", "--concurrency", "3",
         "--hostname", f"worker{number}@localhost", "--loglevel", "WARNING"],
        cwd=Path(__file__).parent, env={**os.environ, "CELERY_PORT": str(port), "CELERY_BROKERS": str(port)}, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


def main():
    workers = [worker(port, n) for n, port in enumerate(play.survivors)]
    try:
        assert note.delay(0).get(timeout=30) == 0
        added, play.busy, n = [0], 1, 1
        for _ in play.rounds(4):
            plain = note.delay(n)
            several = group(note.s(n + 1), note.s(n + 2)).apply_async()
            second = note_at_second_try.delay(n + 3)
            summed = chord([note.s(n + 4), note.s(n + 5)])(total.s(n + 6))
            late = note.apply_async([n + 7], countdown=0.1)
            assert several.get(timeout=30) == [n + 1, n + 2]
            assert [result.get(timeout=30) for result in (plain, second, summed, late)] == [n, n + 3, 2 * n + 9, n + 7]
            added += range(n, n + 8)
            n += 8
        done = [int(number) for number in ledger.lrange("done", 0, -1)]
        assert sorted(done) == added, "a task was not done exactly once"
    finally:
        for process in workers:
            process.terminate()
        codes = [process.wait(30) for process in workers]
    assert codes == [0, 0], codes
    play.end(tasks=len(added))


main()
