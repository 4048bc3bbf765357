"""Options, fixtures and what is printed when a test fails."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cluster import Cluster  # noqa: E402

LOG_TAIL_CHARACTERS = 6_000
FIGURES = "figures"


def pytest_addoption(parser):
    parser.addoption(
        "--long", action="store_true", help="the full number of kills, and limits on time (or QUORATE_LONG=1)"
    )


@pytest.fixture(scope="session")
def long(request):
    """Whether the full counts are asked for. Only then do tests judge how fast the machine is."""
    return request.config.getoption("--long") or os.environ.get("QUORATE_LONG") == "1"


@pytest.fixture
def make_cluster(request, tmp_path):
    """Makes clusters that end with the test, and checks that none of their processes failed by itself."""
    made = request.node.stash.setdefault(CLUSTERS, [])

    def make(settings=()):
        cluster = Cluster(tmp_path / f"cluster{len(made) + 1}", settings)
        cluster.folder.mkdir()
        made.append(cluster)
        return cluster

    yield make
    complaints = [text for cluster in made for text in cluster.complaints()]
    for cluster in made:
        cluster.close()
    assert not complaints, "\n".join(complaints)
    if request.node.stash.get(PASSED, False):
        for cluster in made:
            shutil.rmtree(cluster.folder)


@pytest.fixture
def cluster(make_cluster):
    """Three nodes, three voters, default settings."""
    return make_cluster().start(3)


@pytest.fixture
def show_logs_of(request):
    """Call it with a cluster that outlives the test: if the test fails, its logs are shown."""
    return request.node.stash.setdefault(CLUSTERS, []).append


@pytest.fixture
def figures(request):
    """Call it with what was measured: one JSON line, printed at the end of the run."""

    def report(**values):
        line = json.dumps({"test": request.node.name, **values})
        print(line)
        request.node.user_properties.append((FIGURES, line))

    return report


CLUSTERS = pytest.StashKey[list]()
PASSED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call":
        item.stash[PASSED] = report.passed
    if report.failed:
        for cluster in item.stash.get(CLUSTERS, []):
            for node in cluster.nodes:
                report.sections.append((f"log of {node}, {node.log_path}", node.story()[-LOG_TAIL_CHARACTERS:]))
    return report


def pytest_collection_modifyitems(items):
    """When two files run at once, those that attack a cluster for long begin first, and not beside each other."""
    attacks = [item for item in items if item.path.stem.startswith("test_torture")]
    for item in items:
        item.add_marker(pytest.mark.xdist_group("torture" if item in attacks else str(item.path)))
    items[:] = attacks + [item for item in items if item not in attacks]


def pytest_terminal_summary(terminalreporter):
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    properties = [entry for report in reports if getattr(report, "when", "") == "call" for entry in report.user_properties]
    lines = [line for name, line in properties if name == FIGURES]
    if lines:
        terminalreporter.section("figures")
        for line in lines:
            terminalreporter.write_line(line)
