"""Jobs of RQ, with two real workers, one of which forks for each job. Both, and this program, are connected to nodes that survive.

RQ promises that a job is not lost as long as its worker lives (a worker that dies leaves it to `rq.maintenance`). No worker dies
here, and no connection breaks: each job is done exactly once."""

import os
import subprocess
import sys
import time
from pathlib import Path

import redis
from rq import Queue, Retry
from rq.job import JobStatus
from rq.registry import FailedJobRegistry

from play import Play
from rq_jobs import note, note_at_second_try


def worker(port, number, kind):
    rq = Path(sys.executable).with_name("rq")
    url = f"redis://127.0.0.1:{port}"
    return subprocess.Popen(
        [rq, "worker", "--quiet", "--url", url, "--name", f"worker{number}", "--worker-class", kind, "work"],
        cwd=Path(__file__).parent, env={**os.environ, "LEDGER_PORT": str(port)}, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


def wait_finished(job):
    deadline = time.monotonic() + 30
    while job.get_status() != JobStatus.FINISHED:
        assert time.monotonic() < deadline, (job, job.get_status())
        time.sleep(0.01)


def main():
    play = Play()
    connection = redis.Redis(port=play.survivors[1], socket_timeout=10)
    queue = Queue("work", connection=connection)
    kinds = ["rq.worker.Worker", "rq.worker.SimpleWorker"]
    workers = [worker(port, n, kind) for n, (port, kind) in enumerate(zip(play.survivors, kinds))]
    try:
        wait_finished(queue.enqueue(note, 0))
        added, play.busy, number = [0], 1, 0
        for _ in play.rounds(4):
            plain = queue.enqueue(note, number + 1)
            many = queue.enqueue_many([Queue.prepare_data(note, [number + 2]), Queue.prepare_data(note, [number + 3])])
            after = queue.enqueue(note, number + 4, depends_on=[plain, *many])
            second = queue.enqueue(note_at_second_try, number + 5, retry=Retry(max=1))
            added += range(number + 1, number + 6)
            number += 5
            for job in (after, second):
                wait_finished(job)
            assert after.return_value() == (number - 1) * 2
        done = [int(n) for n in connection.lrange("done", 0, -1)]
        assert sorted(done) == added, "a job was not done exactly once"
        assert len(FailedJobRegistry(queue=queue)) == len(queue) == 0
    finally:
        for process in workers:
            process.terminate()
        codes = [process.wait(30) for process in workers]
    assert codes == [0, 0], codes
    play.end(jobs=len(added))


main()
