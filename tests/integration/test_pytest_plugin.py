"""The fixtures as another project uses them: installed by pip, nothing imported."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from matomo_harness.matomo.web import Web
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.golden import Golden
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.reaper import RUN_LABEL
from matomo_harness.settings import ROOT
from tests import wheel


@pytest.fixture
def options(any_image: Image) -> tuple[str, ...]:
    return (
        f"--matomo-image={any_image.reference}",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:playwright",
    )


@pytest.mark.slow(reason="a run of pytest with servers of its own")
def test_the_example_of_the_documentation_passes(
    pytester: pytest.Pytester, options: tuple[str, ...]
) -> None:
    page = (ROOT / "docs/fixtures.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    pytester.makepyfile(example)
    pytester.runpytest_subprocess(*options, "--strict-markers").assert_outcomes(passed=6)


@pytest.mark.slow(reason="a virtual environment is made")
def test_a_wheel_alone_is_enough(
    pytester: pytest.Pytester,
    options: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", wheel.installed(tmp_path))
    pytester.makepyfile(
        """
        import matomo_harness

        def test_it(fresh_matomo):
            assert "/site/matomo_harness/" in matomo_harness.__file__
            assert fresh_matomo.api.call("SitesManager.getAllSitesId") == [1]
        """
    )
    pytester.runpytest_subprocess(*options).assert_outcomes(passed=1)


@pytest.mark.slow(reason="a run of pytest with servers of its own")
@pytest.mark.slow(reason="a run of pytest in two processes")
def test_a_time_limit_that_ends_while_a_failure_is_written_ends_no_run(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest(
        """
        import time, pytest

        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_makereport(call):
            report = yield
            if call.excinfo:
                time.sleep(1.5)  # as long as evidence may take
            return report
        """
    )
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.timeout(1)
        def test_fails_just_before_its_limit():
            raise AssertionError

        def test_comes_next():
            pass
        """
    )
    pytester.runpytest_subprocess("-n", "1").assert_outcomes(failed=1, passed=1)


def test_a_change_of_the_shared_instance_is_noticed_and_undone(
    pytester: pytest.Pytester, options: tuple[str, ...]
) -> None:
    pytester.makepyfile(
        """
        import pytest

        def add_site(matomo):
            matomo.api.add_site("Another", "https://a.example", "UTC", since="2026-01-01")

        def test_changes_a_row(matomo):
            add_site(matomo)

        def test_fails_and_changes_a_row(matomo):
            add_site(matomo)
            assert False

        def test_changes_the_settings(matomo):
            matomo.shell.console("config:set", "--section=General", "--key=a", "--value=1")

        def test_uploads(matomo):
            matomo.shell.run("mkdir", "-p", matomo.shell.uploads)
            matomo.shell.write(f"{matomo.shell.uploads}/logo.png", "x")

        def test_adds_a_table(matomo):
            matomo.database.query("CREATE TABLE matomo_canary (a INT)")

        def test_adds_a_column(matomo):
            matomo.database.query("ALTER TABLE matomo_site ADD canary INT")

        def test_empties_a_table(matomo):
            matomo.database.query("TRUNCATE matomo_site")

        def test_drops_its_schema(matomo):
            matomo.database.query(f"DROP DATABASE {matomo.database.name}")

        @pytest.mark.parametrize("time", range(2))
        def test_finds_it_as_it_was(matomo, time):
            assert matomo.api.call("SitesManager.getAllSitesId") == [1]
            assert "canary" not in matomo.database.tables()
            assert not matomo.database.query("SHOW COLUMNS FROM matomo_site LIKE 'canary'")
            assert "a = 1" not in matomo.shell.read(matomo.shell.config)
            assert matomo.web.get(path=f"{matomo.shell.uploads}/logo.png").status_code != 200
        """
    )
    result = pytester.runpytest_subprocess(*options)
    result.assert_outcomes(passed=2, failed=8)
    for seen in (
        "*this test changed table matomo_option, table matomo_site",
        "*this test changed config/m*.localhost.config.ini.php",
        "*this test changed files in misc/user/m*",
        "*this test changed table matomo_canary",
        "*this test changed its schema is gone",
        "*next: take the fixture fresh_matomo, which is the test's own",
    ):
        result.stdout.fnmatch_lines(seen)


@pytest.mark.slow(reason="a run of pytest with servers of its own")
def test_an_error_in_the_log_fails_a_test_that_does_not_expect_it(
    pytester: pytest.Pytester, options: tuple[str, ...]
) -> None:
    pytester.makepyfile(
        """
        import pytest

        EXPECTED = pytest.mark.matomo_log("module=NoSuch", reason="there is no such plugin")

        def test_takes_500_for_an_answer(fresh_matomo):
            fresh_matomo.web.get({"module": "NoSuch"})

        @EXPECTED
        def test_expects_it(fresh_matomo):
            fresh_matomo.web.get({"module": "NoSuch"})

        def test_does_not_see_an_error_of_another(fresh_matomo):
            fresh_matomo.web.get({"module": "Login"})

        def test_leaves_a_warning(dedicated_matomo):
            dedicated_matomo.shell.write("index.php", "<?php echo $nothing;")
            dedicated_matomo.web.get(path="index.php")

        # The server writes its line when the script ends: long after the whole answer is there.
        LATE = (
            "<?php http_response_code(503); header('Content-Length: 1'); echo 'x'; flush();"
            "usleep(500000);"
        )

        def test_has_its_answer_before_the_server_s_line(dedicated_matomo):
            dedicated_matomo.shell.write("index.php", LATE)
            dedicated_matomo.web.get(path="index.php")
        """
    )
    result = pytester.runpytest_subprocess(*options)
    result.assert_outcomes(passed=2, failed=3)
    result.stdout.fnmatch_lines("*GET /index.php HTTP/1.1* 503*")
    result.stdout.fnmatch_lines("*GET /index.php?module=NoSuch HTTP/1.1* 500*")
    result.stdout.fnmatch_lines("*PHP Warning:  Undefined variable $nothing*")
    result.stdout.fnmatch_lines('*mark the test: @pytest.mark.matomo_log("pattern", reason="…")')


@pytest.mark.slow(reason="a run of pytest with servers of its own")
def test_what_only_a_dedicated_matomo_has_is_refused_by_name(
    pytester: pytest.Pytester, options: tuple[str, ...]
) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.matomo_environment(MATOMO_GENERAL_FORCE_SSL="1")
        @pytest.mark.parametrize("fixture", ["matomo", "fresh_matomo"])
        def test_wants_an_environment(fixture, request):
            request.getfixturevalue(fixture)

        def test_wants_the_container_s_health(fresh_matomo):
            fresh_matomo.shell.health()
        """
    )
    result = pytester.runpytest_subprocess(*options)
    result.stdout.fnmatch_lines("*MATOMO_GENERAL_FORCE_SSL for an instance in a web server that*")
    assert str(result.stdout).count("next: take the fixture dedicated_matomo") >= 3


@pytest.mark.usefixtures("any_golden")
def test_evidence_that_has_no_place_does_not_end_the_run(
    pytester: pytest.Pytester, options: tuple[str, ...]
) -> None:
    pytester.makepyfile("def test_fails(matomo): assert False\ndef test_passes(): pass")
    pytester.path.joinpath("a-file").touch()
    result = pytester.runpytest_subprocess(*options, "--matomo-reports=a-file/x")
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines("*no logs, settings and options: *")


def test_a_failure_leaves_evidence_and_no_secret(
    pytester: pytest.Pytester, options: tuple[str, ...], any_golden: Golden
) -> None:
    pytester.makepyfile(
        """
        def test_fails(fresh_matomo):
            fresh_matomo.api.call("UsersManager.addUser", userLogin="bob",
                                  password="canary-password", email="bob@matomo.example")
            assert False
        """
    )
    result = pytester.runpytest_subprocess(*options, "--matomo-reports=out")
    result.assert_outcomes(failed=1)
    (directory,) = (pytester.path / "out/failures").iterdir()
    result.stdout.fnmatch_lines(f"*logs, settings, options: *out/failures/{directory.name}")
    files = {file.name: file.read_text() for file in directory.iterdir()}
    assert set(files) == {
        "web.log",
        "database.log",
        "config.json",
        "options.txt",
        "last-exchange.txt",
    }
    assert '"POST /index.php HTTP/1.1" 200' in files["web.log"]
    assert '"instance_id": "m' in files["config.json"]
    assert "PrivacyManager" in files["options.txt"]
    assert "method=UsersManager.addUser" in files["last-exchange.txt"]
    installed = any_golden.installed
    secrets = (
        installed.token,
        installed.passwords.matomo,
        installed.account.password,
        installed.account.secret,
        any_golden.salt,
        "canary-password",
    )
    assert not [name for name, text in files.items() for secret in secrets if secret in text]


@pytest.mark.nightly(reason="a run of pytest with servers of its own, beside others")
def test_missing_evidence_does_not_hide_the_failure(
    pytester: pytest.Pytester, options: tuple[str, ...]
) -> None:
    pytester.makepyfile(
        """
        def test_breaks_everything(dedicated_matomo):
            dedicated_matomo.shell.write("core/bootstrap.php", "no php")
            dedicated_matomo.database.query("DROP DATABASE matomo")
            assert False, "this is what is to be read"
        """
    )
    result = pytester.runpytest_subprocess(*options)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines("*this is what is to be read*")
    (directory,) = (pytester.path / "reports/failures").iterdir()
    for name in ("config.json", "options.txt"):
        assert "could not be had" in (directory / name).read_text()


@pytest.mark.nightly(reason="two runs of pytest with servers of their own")
@pytest.mark.slow(reason="a run of pytest with servers of its own")
def test_the_instance_of_a_failed_test_is_preserved_on_demand(
    pytester: pytest.Pytester, options: tuple[str, ...], any_golden: Golden
) -> None:
    pytester.makepyfile(
        """
        def test_passes(fresh_matomo):
            pass

        def test_fails(fresh_matomo):
            assert False

        def test_fails_too(dedicated_matomo):
            assert False
        """
    )
    result = pytester.runpytest_subprocess(*options, "--matomo-keep")
    output = str(result.stdout)
    addresses = re.findall(r"open +http://(\S+):(\d+)/", output)
    assert len(addresses) == 2, output
    for host, port in addresses:
        assert 'name="form_login"' in Web(f"http://{host}:{port}").get().text
    (file, *_) = re.findall(r"login +the first lines of (\S+)", output)
    assert Path(file).stat().st_mode & 0o777 == 0o600
    assert any_golden.installed.account.password in Path(file).read_text()
    assert any_golden.installed.account.password not in output
    console = r"console  docker exec -u www-data -w \S+ \S+ php console --matomo-domain=m"
    assert re.search(console, output)

    # Another run removes what dead runs left, and leaves this one alone.
    pytester.makepyfile("def test_passes(fresh_matomo): pass")
    pytester.runpytest_subprocess(*options).assert_outcomes(passed=1)
    runs = set(re.findall(r"remove +matomo-harness clean --run (\w+)", output))
    assert len(runs) == 1
    for run in runs:
        label = {"label": f"{RUN_LABEL}={run}"}
        assert len(engine().containers.list(filters={**label})) == 4
        command = [sys.executable, "-m", "matomo_harness", "clean", "--run", run]
        ended = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "things removed" in ended.stdout
        assert not engine().containers.list(all=True, filters={**label})
        assert not Path(file).exists()


@pytest.mark.nightly(reason="a run of pytest with servers of its own")
@pytest.mark.slow(reason="a run of pytest with servers of its own")
def test_two_workers_share_one_pair_of_servers(
    pytester: pytest.Pytester, options: tuple[str, ...]
) -> None:
    pytester.makepyfile(
        """
        import os, pathlib, pytest

        @pytest.mark.parametrize("number", range(8))
        def test_it(fresh_matomo, matomo, number, request):
            assert fresh_matomo.api.call("SitesManager.getAllSitesId") == [1]
            line = f"{os.getpid()} {fresh_matomo.shell.container.id} {matomo.url}\\n"
            with (request.config.rootpath / "seen.txt").open("a") as file:
                file.write(line)
        """
    )
    pytester.runpytest_subprocess(*options, "-n", "2").assert_outcomes(passed=8)
    lines = [line.split() for line in (pytester.path / "seen.txt").read_text().splitlines()]
    workers, containers, shared = (set(column) for column in zip(*lines, strict=True))
    assert (len(workers), len(containers), len(shared)) == (2, 1, 2)
    assert not engine().containers.list(all=True, filters={"id": containers.pop()})


@pytest.mark.nightly(reason="a run of pytest with servers of its own")
@pytest.mark.slow(reason="a run of pytest with servers of its own")
def test_the_next_test_gets_new_servers_when_these_are_gone(
    pytester: pytest.Pytester, options: tuple[str, ...]
) -> None:
    pytester.makepyfile(
        """
        from matomo_harness.runtime.engine import engine

        def test_passes(fresh_matomo, matomo):
            pass

        def test_sees_them_stop(fresh_matomo, matomo_servers):
            servers = matomo_servers.servers()
            servers.web.stop(timeout=0)
            servers.database.stop(timeout=0)
            fresh_matomo.web.get()

        def test_passes_again(fresh_matomo):
            assert fresh_matomo.api.call("SitesManager.getAllSitesId") == [1]

        def test_looks_again(matomo):
            assert matomo.api.call("SitesManager.getAllSitesId") == [1]
        """
    )
    result = pytester.runpytest_subprocess(*options)
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines("*expected an answer from http://m*")


def test_an_image_without_matomo_is_named(pytester: pytest.Pytester, any_golden: Golden) -> None:
    pytester.makepyfile("def test_it(fresh_matomo): pass")
    reference = any_golden.database.reference
    result = pytester.runpytest_subprocess(f"--matomo-image={reference}")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(f"*expected Matomo in {reference}")
    assert "Traceback" not in str(result.stdout)
    assert os.environ.get("HARNESS_DEBUG") or "servers.py" not in str(result.stdout)


@pytest.mark.nightly(reason="golden images are built")
def test_the_fixtures_take_a_plain_official_image(
    pytester: pytest.Pytester, any_base: Image
) -> None:
    # The official image has no configuration and no plugin that reads the environment.
    pytester.makepyfile(
        """
        def test_it(fresh_matomo, matomo):
            fresh_matomo.api.add_site("Another", "https://a.example", "UTC", since="2026-01-01")
            assert matomo.api.call("SitesManager.getAllSitesId") == [1]

        def test_pair(dedicated_matomo):
            assert dedicated_matomo.api.call("SitesManager.getAllSitesId") == [1]
        """
    )
    result = pytester.runpytest_subprocess(f"--matomo-image={any_base.reference}")
    result.assert_outcomes(passed=2)
