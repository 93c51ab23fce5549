"""What somebody changed in a running Matomo becomes a patch of the repository, without secrets."""

import re
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from matomo_harness.errors import ExitCode
from matomo_harness.matomo import ini
from matomo_harness.matomo.api import Api
from matomo_harness.operate import clean, local
from matomo_harness.operate.stack import Stack
from matomo_harness.settings import ROOT
from tests.checkout import Checkout, copied
from tests.programs import Answer

PLANTED = "planted-swordfish"
PAGE = ROOT / "docs/howto/compare-and-capture-configuration.md"
HOST = "intranet.planted.example"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A local stack that is up, in which nobody has changed anything."""
    with copied(tmp_path_factory.mktemp("capture")) as copy:
        assert (answer := copy.harness("up")).code == 0, answer.text
        yield copy
        clean.remove_stack(Stack(copy.root))


def web_container(stack: Checkout) -> str:
    (name,) = (name for name in stack.containers if name.endswith("-matomo-1"))
    return name


def printed(stack: Checkout, *arguments: str) -> tuple[int, str, str]:
    """Run `capture`; return its exit code, and what it prints as patch and besides."""
    ended = subprocess.run(
        stack.command("capture", *arguments),
        cwd=stack.root,
        env=stack.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert PLANTED not in ended.stdout + ended.stderr
    assert HOST not in ended.stdout + ended.stderr
    assert stack.secret("SALT") not in ended.stdout + ended.stderr
    return ended.returncode, ended.stdout, ended.stderr


def applied(stack: Checkout, to: Path, text: str) -> Path:
    """Apply a patch by git to a copy of image/; return the copy's directory."""
    root = to / "repository"
    shutil.copytree(stack.root / "image", root / "image")
    (to / "a.patch").write_text(text)
    for options in (["--check"], []):
        subprocess.run(["git", "apply", *options, str(to / "a.patch")], cwd=root, check=True)
    return root / "image"


def console(stack: Checkout, *arguments: str) -> None:
    answer = stack.harness("console", *arguments)
    assert answer.code == 0, answer.text


@pytest.mark.slow(reason="a stack is started")
def test_of_a_stack_that_nobody_changed_nothing_differs(stack: Checkout) -> None:
    code, patch, said = printed(stack)
    assert (code, patch) == (0, "")
    assert "the local stack: nothing differs" in said


@pytest.mark.slow(reason="a stack is started")
def test_what_was_changed_by_console_and_api_is_captured(stack: Checkout, tmp_path: Path) -> None:
    for setting in (
        "General.datatable_archiving_maximum_rows_events=9000",
        'General.multisites_refresh_after_seconds="77"',
        f'General.api_token="{PLANTED}"',
        f'CapturedPlugin.motto="see {PLANTED}"',
        f'CapturedPlugin.cache_host="{HOST}"',
        'CapturedPlugin.mode="quiet"',
    ):
        console(stack, "config:set", setting)
    console(stack, "plugin:deactivate", "Tour")
    api = Api(stack.web, stack.harness("token").text.split()[-1])
    api.call("SitesManager.setKeepURLFragmentsGlobal", enabled=1)
    before = (stack.root / "image/config/config.ini.php").read_bytes()

    answer = stack.harness("capture", "--to", "captured")
    assert answer.code == 0, answer.text
    directory = stack.root / "captured"
    assert sorted(path.name for path in directory.iterdir()) == [
        *("capture.txt", "config.patch", "policy.patch")
    ]
    texts = [answer.text, *(path.read_text() for path in directory.iterdir())]
    assert not [text for text in texts if PLANTED in text or HOST in text]
    assert (stack.root / "image/config/config.ini.php").read_bytes() == before

    code, patch, said = printed(stack)
    assert code == 0
    assert (
        patch == (directory / "config.patch").read_text() + (directory / "policy.patch").read_text()
    )
    for name in ("[General] api_token", "[CapturedPlugin] motto", "[CapturedPlugin] cache_host"):
        assert name in said
    image = applied(stack, tmp_path, patch)
    file = ini.read((image / "config/config.ini.php").read_text())
    assert file.text("General", "datatable_archiving_maximum_rows_events") == "9000"
    assert file.text("General", "multisites_refresh_after_seconds") == "77"
    assert file.text("CapturedPlugin", "mode") == "quiet"
    assert "Tour" not in file.texts("Plugins", "Plugins")
    assert "; The load balancer appends the visitor's address" in file.source
    policy = (image / "policy.toml").read_text()
    assert '"SitesManager_KeepURLFragmentsGlobal=1"' in policy
    assert '"Tour"' not in policy


@pytest.mark.slow(reason="a stack is started")
@pytest.mark.nightly(reason="a browser, beside the same by a stack in every run")
def test_a_url_alone_says_what_its_page_shows(stack: Checkout) -> None:
    authority = str(stack.root / ".local/tls/authority.pem")
    place = ("capture", "--url", stack.web.url, "--authority", authority)
    refused(stack.harness(*place), "no HARNESS_LOGIN")
    console(stack, "config:set", 'CapturedPlugin.mode="soft"')
    _, of_stack, _ = printed(stack)
    answer = stack.harness(
        *place,
        HARNESS_LOGIN="admin",
        HARNESS_PASSWORD=stack.secret("SUPERUSER_PASSWORD"),
        HARNESS_TOTP_SECRET=local.second_factor(Stack(stack.root)),
    )
    assert answer.code == 0, answer.text
    assert '+mode = "soft"' in answer.text
    assert PLANTED not in answer.text
    assert HOST not in answer.text
    assert "the sections of the database are not on Matomo's page" in answer.text
    assert "was not read" in answer.text
    changes = [line for line in of_stack.splitlines() if line.startswith(("+", "-"))]
    assert set(changes) >= {line for line in answer.text.splitlines() if line.startswith("+")}


@pytest.mark.nightly(reason="the same by four ways, beside the whole way in every run")
def test_a_container_a_file_a_tar_and_a_command_say_the_same(
    stack: Checkout, tmp_path: Path
) -> None:
    console(stack, "config:set", 'CapturedPlugin.mode="loud"')
    name = web_container(stack)
    _, of_stack, _ = printed(stack)
    assert printed(stack, "--container", name)[1] == of_stack
    assert '+mode = "loud"' in of_stack
    saved = tmp_path / "config.ini.php"
    source = f"{name}:/var/www/html/config/config.ini.php"
    subprocess.run(["docker", "cp", source, str(saved)], check=True, capture_output=True)
    with tarfile.open(tmp_path / "efs.tar.gz", "w:gz") as archive:
        archive.add(saved, "backup/config/config.ini.php")
    reached = ("--exec", f"docker exec -i {name}")
    for way in (("--config", str(saved)), ("--config", str(tmp_path / "efs.tar.gz")), reached):
        code, patch, said = printed(stack, *way)
        assert code == 0
        assert '+mode = "loud"' in patch
        assert patch in of_stack or "SitesManager" in of_stack
        assert "was not read" in said


@pytest.mark.slow(reason="a stack is started")
def test_what_breaks_a_promise_is_named_and_no_weaker_one_proposed(
    stack: Checkout, tmp_path: Path
) -> None:
    put = "REPLACE INTO {prefix}option (option_name, option_value) VALUES (%s, %s)"
    stack.database.query(put, "PrivacyManager.ipAddressMaskLength", "1")
    try:
        code, patch, said = printed(stack, "--to", str(tmp_path / "to"))
    finally:
        stack.database.query(
            "DELETE FROM {prefix}option WHERE option_name = %s",
            "PrivacyManager.ipAddressMaskLength",
        )
    assert code == ExitCode.BROKEN_PROMISE
    assert "option PrivacyManager.ipAddressMaskLength=1, against `[masking] bytes = 2`" in said
    assert "promise would be weakened" in said
    written = "".join(path.read_text() for path in (tmp_path / "to").glob("*.patch"))
    assert "ipAddressMaskLength" not in patch + written
    assert "bytes = " not in patch + written


@pytest.mark.slow(reason="a stack is started")
def test_a_container_without_matomo_is_refused(stack: Checkout) -> None:
    (name,) = (name for name in stack.containers if name.endswith("-mail-1"))
    refused(stack.harness("capture", "--container", name), "a Matomo in the container")


@pytest.mark.nightly(reason="ten commands, beside the whole way in every run")
def test_the_commands_of_the_how_to_do_what_it_says(stack: Checkout, tmp_path: Path) -> None:
    """Runs every command of the page in its order, on a stack that somebody has changed."""
    copy = tmp_path / "copy"
    shutil.copytree(stack.root, copy, symlinks=True, ignore=shutil.ignore_patterns("captured"))
    name = web_container(stack)
    console(stack, "config:set", "General.multisites_refresh_after_seconds=78")
    console(stack, "plugin:deactivate", "Feedback")
    source = f"{name}:/var/www/html/config/config.ini.php"
    subprocess.run(
        ["docker", "cp", source, str(stack.root / "config.ini.php")],
        check=True,
        capture_output=True,
    )
    with tarfile.open(stack.root / "efs.tar.gz", "w:gz") as archive:
        archive.add(stack.root / "config.ini.php", "config/config.ini.php")
    shutil.rmtree(stack.root / "captured", ignore_errors=True)
    commands = re.findall(r"(?m)^    ((?:matomo-harness|git) .+)$", PAGE.read_text())
    said, applied_text = [], ""
    for command in commands:
        words = [word.replace("NAME", name) for word in shlex.split(command)]
        if words[0] == "git":
            subprocess.run(words, cwd=stack.root, check=True)
            if "captured/policy.patch" in words and "--reverse" not in words:
                applied_text = (stack.root / "image/config/config.ini.php").read_text()
        else:
            answer = stack.harness(*words[1:])
            assert answer.code == 0, answer.text
            said.append(answer.text)
    assert len(commands) == 13
    assert "multisites_refresh_after_seconds = 78" in applied_text
    assert all("+multisites_refresh_after_seconds = 78" in text for text in said[:5])
    assert "multisites_refresh_after_seconds" not in said[-1]
    for file in ("config/config.ini.php", "policy.toml"):
        assert (stack.root / "image" / file).read_text() == (copy / "image" / file).read_text()


def refused(answer: Answer, *words: str) -> None:
    answer.refuses(ExitCode.WRONG_INPUT, *words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("the local stack to be up", "make up")),
        (("--container", "no-such-container"), ("none of that name",)),
        (("--exec", "false"), ("an answer of sh", "exit 1")),
        (("--url", "ftp://there"), ("no HARNESS_LOGIN",)),
        (("--repro", "nowhere"), ("the name of a reproduction",)),
        (("--repro", "one", "--container", "two"), ("one place to look at",)),
        (("--config", "/no/such/file"), ("No such file",)),
        (("--against", "/no/such/file"), ("--against to name a file",)),
        (("--to", "image/policy.toml"), ("nothing is overwritten",)),
    ],
    ids=lambda words: " ".join(words),
)
def test_wrong_input_is_refused_by_name(
    checkout: Checkout, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    refused(checkout.harness("capture", *arguments), *words)
