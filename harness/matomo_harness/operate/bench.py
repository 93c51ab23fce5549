"""Measure what the README promises, on this machine, in one run, side by side."""

import functools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

from docker.models.containers import Container
from rich.table import Table

from matomo_harness.errors import BrokenPromiseError
from matomo_harness.gate.catalogue import ALL, read_policy
from matomo_harness.gate.core.check import Check
from matomo_harness.gate.core.runner import run as run_checks
from matomo_harness.matomo.web import Parameters
from matomo_harness.operate import bench_reproduction, compose, local
from matomo_harness.operate.gate_image import AT_ONCE
from matomo_harness.progress import step
from matomo_harness.runtime import images, reaper, targets
from matomo_harness.runtime.dedicated import pair, started
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.full_stack import FullStack
from matomo_harness.runtime.golden import Golden, golden
from matomo_harness.runtime.inspection import inspected
from matomo_harness.runtime.instance import Instance
from matomo_harness.runtime.servers import Servers
from matomo_harness.runtime.shared import shared_servers
from matomo_harness.settings import ROOT, WORKER_SECONDS, RunSettings

SAMPLES: Final = 20
GROWTH: Final = 200
TRIVIAL_TESTS: Final = 100
HITS: Final = 200
ONE_CHECK: Final = "masking.ipv4_in_bulk"
MIB: Final = 2**20


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Args:
        name: what was measured.
        median: of the samples, in `unit`.
        spread: lowest and highest sample.
        unit: `s`, `MiB`, or `x` for how many times.
        target: what the project asks for on 2 cores; None where it only serves comparison.
        samples: how many there are.
        more_is_better: whether `target` is a lower bound rather than an upper one.
    """

    name: str
    median: float
    spread: tuple[float, float]
    unit: str
    target: float | None
    samples: int
    more_is_better: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the median is as good as the target."""
        if self.target is None:
            return True
        return self.median >= self.target if self.more_is_better else self.median <= self.target


@dataclass(frozen=True)
class Measurement:
    """The figures of one run.

    Args:
        machine: processor, cores, memory, kernel, engine.
        images: the images that were measured.
        figures: in the order of measuring.
        ratios: how many times faster than from scratch each way to an instance is, by medians.
    """

    machine: str
    images: tuple[str, ...]
    figures: tuple[Figure, ...]
    ratios: Mapping[str, float]


def run(settings: RunSettings) -> Measurement:
    """Measure for about a quarter of an hour; the local stack is up afterwards.

    Raises:
        HarnessError: something that is measured did not come up.
    """
    image, database_image = images.deployed_image(settings), images.mariadb_base(settings)
    state = golden(image, database_image)
    ways = _StartTimes(
        scratch=lambda: _from_scratch(image, database_image),
        pair=lambda: _pair(settings),
        servers=shared_servers(state, reaper.this_process()),
    )
    with step(f"Four ways to an installed Matomo, {SAMPLES} times each"):
        times = _side_by_side(ways)
    with step(f"{GROWTH} instances, one after the other"):
        growth = _growth(ways.servers)
    memory = _memory(ways.servers)
    with step(f"{TRIVIAL_TESTS} tests with a fresh instance each"):
        hundred = _trivial_tests(image.reference, database_image.reference)
    with step("The quick tests, three at once"):
        quick = _quick_tests()
    with step(f"{HITS} hits by way of the load balancer, and as many straight to the task"):
        through, straight = _hits(state)
    with step("The gate: one check at a time, all side by side, and one check alone"):
        in_turn, at_once, alone = _gates(state)
    with step(f"A reproduction of {bench_reproduction.VISITS:,} visits, and the plain client"):
        reproduced, loaded, size = bench_reproduction.times(settings, state, database_image)
    with step("The local stack, down and up again"):
        local.up(settings)
        local.down()
        first = _timed(lambda: local.up(settings))
        second = [_timed(lambda: local.up(settings)) for _ in range(5)]
    running = [found for found in compose.containers() if found.status == "running"]
    stack = sum(_used(container) for container in running)

    ratios = {
        name: round(statistics.median(times["from_scratch"]) / statistics.median(times[name]), 1)
        for name in ("committed_pair", "fresh_instance", "reset")
    }
    goals = {"committed_pair": None, "fresh_instance": 0.2}
    return Measurement(
        machine=_machine(),
        images=(str(image), str(database_image)),
        figures=(
            *(_figure(way.replace("_", " "), times[way], "s", goals.get(way)) for way in times),
            _ratio("committed pair against from scratch", ratios["committed_pair"], 6),
            _ratio("fresh instance against from scratch", ratios["fresh_instance"], 40),
            _ratio("reset against from scratch", ratios["reset"], 100),
            _figure(f"the last of {GROWTH} instances against the first", [growth], "x", 1.2),
            _figure("all containers together", [memory], "MiB", 400),
            _figure(f"{TRIVIAL_TESTS} tests with a fresh instance each", [hundred], "s", 25),
            *_of_quick_tests(quick),
            _figure("a hit by way of the load balancer, by TLS", through, "s", None),
            _figure("a hit straight to the task", straight, "s", None),
            _figure(
                "hits by way of the load balancer against hits without",
                [statistics.median(through) / statistics.median(straight)],
                "x",
                1.15,
            ),
            _figure("the gate, one check at a time", [in_turn], "s", None),
            _figure("the gate, checks side by side", [at_once], "s", 45),
            _ratio("checks side by side against one at a time", round(in_turn / at_once, 1), 1.5),
            _figure("one check that needs no archive", [alone], "s", 10),
            _figure(
                f"from a dump of {size / 1e6:.0f} MB to a Matomo that runs", [reproduced], "s", None
            ),
            _figure("the plain client, into default settings", [loaded], "s", None),
            _figure("a reproduction against the plain client", [reproduced / loaded], "x", 1.2),
            _figure("`make up` of all services, images built", [first], "s", 60),
            _figure("second `make up`", second, "s", 5),
            _figure("the local stack, idle", [stack], "MiB", 700),
            _figure("own layers on top of the base", [_own_layers(settings)], "MiB", 5),
        ),
        ratios=ratios,
    )


def write(record: Measurement, directory: Path) -> None:
    """Write bench.json and the picture bench.svg into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "bench.json").write_text(json.dumps(asdict(record), indent=2) + "\n")
    (directory / "bench.svg").write_bytes(_plot(record))


def table(record: Measurement) -> Table:
    """Return `record` as a table for people."""
    rows = Table("figure", "median", "lowest to highest", "n", "asked for", title=record.machine)
    for figure in record.figures:
        low, high = figure.spread
        asked = "" if figure.target is None else f"{figure.target:g} {figure.unit}"
        rows.add_row(
            figure.name,
            f"{figure.median:.3g} {figure.unit}",
            f"{low:.3g} to {high:.3g}",
            str(figure.samples),
            asked if figure.is_met else f"[red]{asked}: missed[/red]",
        )
    return rows


def _plot(record: Measurement) -> bytes:
    import pygal

    chart = pygal.HorizontalBar(
        title="Seconds to an installed Matomo (logarithmic)",
        logarithmic=True,
        print_values=True,
        show_legend=False,
        height=320,
        value_formatter=lambda seconds: f"{seconds:.3g} s",
        disable_xml_declaration=False,
        js=(),
    )
    ways = [figure for figure in record.figures if figure.unit == "s"][:5]
    chart.x_labels = [figure.name for figure in reversed(ways)]
    chart.add("median", [figure.median for figure in reversed(ways)])
    picture: bytes = chart.render()
    return picture


# -- the ways to an instance ----------------------------------------------------------------------


@dataclass(frozen=True)
class _StartTimes:
    scratch: Callable[[], float]
    pair: Callable[[], float]
    servers: Servers


def _side_by_side(ways: _StartTimes) -> dict[str, list[float]]:
    """Measure in turns, so that a machine that grows slow does so for all ways."""
    times: dict[str, list[float]] = {
        "from_scratch": [],
        "committed_pair": [],
        "fresh_instance": [],
        "reset": [],
        "reset and a page": [],
    }
    for _ in range(SAMPLES):
        times["from_scratch"].append(ways.scratch())
        times["committed_pair"].append(ways.pair())
        begun = time.monotonic()
        instance = ways.servers.fresh()
        _require_service(instance)
        times["fresh_instance"].append(time.monotonic() - begun)
        instance.api.add_site("Another", "https://a.example", "UTC", since="2026-01-01")
        instance.web.get({"idsite": 1, "rec": 1}, path="matomo.php")
        begun = time.monotonic()
        ways.servers.reset(instance)
        instance.database.query("SELECT 1")
        times["reset"].append(time.monotonic() - begun)
        _require_service(instance)
        times["reset and a page"].append(time.monotonic() - begun)
        ways.servers.drop(instance)
    return times


def _from_scratch(image: images.Image, database_image: images.Image) -> float:
    begun = time.monotonic()
    with started(image, database_image) as both:
        both.install()
        _require_page(both.matomo.web.get({"module": "Login"}).text)
        both.mariadb.database.query("SELECT 1")
        return time.monotonic() - begun


def _pair(settings: RunSettings) -> float:
    state = golden(images.deployed_image(settings), images.mariadb_base(settings))
    begun = time.monotonic()
    with pair(state) as started_pair:
        _require_service(started_pair)
        return time.monotonic() - begun


def _require_service(instance: Instance) -> None:
    """Ask for the login form and query the database: each way is measured up to that."""
    _require_page(instance.web.get({"module": "Login"}).text)
    instance.database.query("SELECT 1")


def _require_page(page: str) -> None:
    if 'name="form_login"' not in page:
        raise BrokenPromiseError(
            expected="the login form", seen=page[:200], next_command="make test-local"
        )


def _growth(servers: Servers) -> float:
    """Return how many times longer the last ten instances take than the first; none is removed."""
    made, times = [], []
    for _ in range(GROWTH):
        begun = time.monotonic()
        made.append(servers.fresh())
        _require_service(made[-1])
        times.append(time.monotonic() - begun)
    for instance in made:
        servers.drop(instance)
    return statistics.median(times[-10:]) / statistics.median(times[:10])


def _memory(servers: Servers) -> float:
    """Return the MiB of both servers with one instance, without what the kernel can take back."""
    instance = servers.fresh()
    _require_service(instance)
    total = _used(servers.web) + _used(servers.database)
    servers.drop(instance)
    return total


def _used(container: Container) -> float:
    """Return the MiB of `container`, without what the kernel can take back."""
    now: Any = container.stats(stream=False)
    memory = now["memory_stats"]
    counted = memory["stats"]
    inactive = counted.get("total_inactive_file", counted.get("inactive_file", 0))
    return float(memory["usage"] - inactive) / MIB


def _hits(state: Golden) -> tuple[list[float], list[float]]:
    """Return the seconds of single hits through the load balancer and past it, in turns.

    The connections stay open, as those of a browser do.
    """
    with FullStack(state) as stack:
        ways = (stack.load_balancer.web, stack.matomo.web)
        times: tuple[list[float], list[float]] = ([], [])
        for web in ways:
            web.session.headers.update({"Connection": "keep-alive", "X-Forwarded-Proto": "https"})
        for number in range(HITS + 10):
            for web, taken in zip(ways, times, strict=True):
                query: Parameters = {"idsite": 1, "rec": 1, "action_name": f"{number}"}
                taken.append(_timed(functools.partial(web.get, query, "matomo.php")))
    return times[0][10:], times[1][10:]


def _gates(state: Golden) -> tuple[float, float, float]:
    """Return the seconds of the gate and its deployment: in turn, side by side, one check alone."""
    promised = read_policy()

    def gate(checks: Sequence[Check], at_once: int) -> None:
        with FullStack(state, is_changed=False) as stack:
            run_checks(targets.of_full_stack(stack, promised), checks, at_once=at_once)

    single = [check for check in ALL if check.id == ONE_CHECK]
    ways = ((ALL, 1), (ALL, AT_ONCE), (single, 1))
    in_turn, at_once, alone = (_timed(functools.partial(gate, *way)) for way in ways)
    return in_turn, at_once, alone


def _trivial_tests(image: str, database_image: str) -> float:
    """Return the seconds of a whole pytest process, from start to end, servers included."""
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "test_trivial.py").write_text(
            "import pytest\n\n"
            f"@pytest.mark.parametrize('number', range({TRIVIAL_TESTS}))\n"
            "def test_the_login_form(fresh_matomo, number):\n"
            "    assert 'form_login' in fresh_matomo.web.get({'module': 'Login'}).text\n"
        )
        options = [f"--matomo-image={image}", f"--matomo-mariadb={database_image}"]
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
        begun = time.monotonic()
        ended = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
        seconds = time.monotonic() - begun
    if f"{TRIVIAL_TESTS} passed" not in ended.stdout:
        raise BrokenPromiseError(
            expected=f"{TRIVIAL_TESTS} tests to pass",
            seen=ended.stdout[-300:],
            next_command="make test-local",
        )
    return seconds


def _quick_tests() -> dict[str, float]:
    """Return the seconds of each test of `make test-local`, by its name; empty in a wheel.

    Raises:
        BrokenPromiseError: a test failed, or there was none.
    """
    if not (ROOT / "tests").exists():
        return {}
    with tempfile.TemporaryDirectory() as directory:
        junit = Path(directory) / "junit.xml"
        options = ["-q", "-n", "3", "--dist", "loadgroup", "--size", "local"]
        command = [sys.executable, "-m", "pytest", *options, f"--junitxml={junit}"]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if ended.returncode != 0:
            raise BrokenPromiseError(
                expected="the quick tests to pass",
                seen=ended.stdout[-300:],
                next_command="make test-local",
            )
        return seconds_worked(junit)


def seconds_worked(junit: Path) -> dict[str, float]:
    """Return the worker-seconds of each test in a report, without shared fixtures."""
    cases = ElementTree.parse(junit).getroot().iter("testcase")  # noqa: S314  pytest's own
    return {
        f"{case.attrib['classname']}.{case.attrib['name']}": float(found.attrib["value"])
        for case in cases
        for found in case.iter("property")
        if found.attrib["name"] == WORKER_SECONDS
    }


def _of_quick_tests(seconds: Mapping[str, float]) -> list[Figure]:
    if not seconds:
        return []
    longest = max(seconds, key=lambda name: seconds[name])
    return [
        _figure("worker-seconds of make test-local", [sum(seconds.values())], "s", 600),
        _figure(f"the longest of it, {longest.rpartition('.')[2]}", [seconds[longest]], "s", 5),
    ]


# -- the rest -------------------------------------------------------------------------------------


def _figure(name: str, samples: list[float], unit: str, target: float | None) -> Figure:
    rounded = [round(sample, 4) for sample in samples]
    spread = (min(rounded), max(rounded))
    return Figure(name, statistics.median(rounded), spread, unit, target, len(samples))


def _ratio(name: str, times: float, target: float) -> Figure:
    return Figure(name, times, (times, times), "x", target, SAMPLES, more_is_better=True)


def _timed(act: Callable[[], object]) -> float:
    begun = time.monotonic()
    act()
    return time.monotonic() - begun


def _own_layers(settings: RunSettings) -> float:
    if settings.image:
        return 0.0  # built elsewhere: its base is not known here
    base, deployed = images.matomo_base(settings), images.deployed_image(settings)
    of_deployed, of_base = (
        int(inspected(engine().images.get(image.id), "Size") or 0) for image in (deployed, base)
    )
    return (of_deployed - of_base) / MIB


def _machine() -> str:
    version = engine().version()["Version"]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**30
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, {memory} GiB,"
        f" Linux {platform.release().split('-')[0]}, engine {version}"
    )
