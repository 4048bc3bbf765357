"""What Celery's workers do."""

import os

import redis
from celery import Celery

# The broker may have several addresses: Celery goes on to the next one when a connection breaks.
BROKERS = [f"redis://127.0.0.1:{port}/1" for port in os.environ["CELERY_BROKERS"].split(",")]
PORT = int(os.environ["CELERY_PORT"])
app = Celery("celery_tasks", broker=BROKERS, backend=f"redis://127.0.0.1:{PORT}/2")
# Above write-timeout, so that what a node says about a write is heard.
app.conf.update(redis_socket_timeout=10, broker_connection_retry_on_startup=True, worker_hijack_root_logger=False)
ledger = redis.Redis(port=PORT, socket_timeout=10)


@app.task
def note(number):
    """Writes down that it was done."""
    ledger.rpush("done", number)
    return number


@app.task(bind=True, max_retries=1, default_retry_delay=0)
def note_at_second_try(self, number):
    if self.request.retries == 0:
        raise self.retry()
    return note(number)


@app.task
def total(numbers, number):
    note(number)
    return sum(numbers)
