"""Random commands of every family, replies compared with those of a real Redis: see differential/__init__.py."""
import os
import pkgutil

import differential
import pytest
from differential.driver import Servers, describe, new_run

NOT_FAMILIES = {"driver", "run", "words"}
FAMILIES = sorted(m.name for m in pkgutil.iter_modules(differential.__path__) if m.name not in NOT_FAMILIES)
STEPS = 50_000 if os.environ.get("QUORATE_LONG") else 3000


@pytest.fixture(scope="module")
def servers():
    s = Servers()
    yield s
    s.stop()


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("name", FAMILIES)
def test_replies_are_those_of_redis(servers, name, protocol):
    run = new_run(servers, name, seed=protocol, protocol=protocol)
    run.steps(STEPS)
    run.close()
    assert not run.differences, "\n".join(describe(d) for d in run.differences[:5])
    assert run.errors < STEPS / 2, "most commands should be sensible"
