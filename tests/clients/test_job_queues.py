"""Queues of jobs, with their real workers: each job is done, and none twice, beyond what the library itself documents."""

import pytest


def test_bullmq(stage, node_packages, figures):
    figures(**stage.perform("node", node_packages / "bullmq.js"))


def test_rq(stage, python, figures):
    figures(**stage.perform(*python("rq_app.py")))


def test_celery(stage, python, figures):
    figures(**stage.perform(*python("celery_app.py")))


def test_celery_that_loses_its_broker(stage, python, figures, long):
    if not long:
        pytest.skip("takes long: Celery reconnects after seconds")
    figures(**stage.perform(*python("celery_brokers.py")))
