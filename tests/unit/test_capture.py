"""What of a live config.ini.php becomes a patch, what stays out, and what a policy is told."""

import subprocess
import tarfile
from pathlib import Path
from typing import Any, Final

import pytest

from matomo_harness.errors import WrongInputError
from matomo_harness.gate.catalogue import read_policy
from matomo_harness.gate.probes.drift import differences
from matomo_harness.matomo import ini
from matomo_harness.matomo.container import SEED as SEED_PATH
from matomo_harness.operate import capture, capture_file, capture_policy
from matomo_harness.operate.capture import Capture, Live, Seeds
from matomo_harness.operate.capture_file import CapturedFile, Known, captured, patch
from matomo_harness.operate.capture_policy import CapturedPolicy, Rows
from matomo_harness.policy import POLICY_FILE
from matomo_harness.settings import RunSettings

SEED: Final = """; <?php exit; ?> DO NOT REMOVE THIS LINE
; What is deployed.

[General]
; The environment sets it.
salt = ""

; Both belong together.
first = 1
second = "two"

proxy_client_headers[] = "HTTP_X_FORWARDED_FOR"
force_ssl = 1

[Deletelogs]
; Old visits go.
delete_logs_enable = 1

[Plugins]
; Matomo's own.
Plugins[] = "CoreHome" ; the first
Plugins[] = "Actions"
Plugins[] = "EnvironmentVariables"
Plugins[] = "TagManager" ; optional
"""
PLANTED: Final = "planted swordfish"
"""A secret that does not look like one."""


def of(live: str, seed: str = SEED, defaults: str = "", known: Known | None = None) -> CapturedFile:
    """Capture `live`, and require that the result says what runs, but for what is left out."""
    known = known or Known((), capture_file.secrets_of(ini.read(live), variables={}))
    found = captured(SEED, seed, live, ini.read(defaults).settings, known)
    left = differences(
        ini.read(found.text).settings, ini.read(live).settings, ini.read(defaults).settings
    )
    out = {each.what for each in found.left_out}
    is_of_seed = seed != SEED
    assert is_of_seed or {f"[{each.section}] {each.name}" for each in left} == out
    return found


def changed(*edits: tuple[str, str], more: str = "") -> str:
    text = SEED
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return text + more


def diff(found: CapturedFile) -> list[str]:
    """Return the lines that a patch adds and takes."""
    lines = patch("image/config/config.ini.php", SEED, found.text).splitlines()
    return [line for line in lines[2:] if line[0] in "+-"]


# -- the file -------------------------------------------------------------------------------------


def test_comments_order_quotes_and_defaults_are_no_difference() -> None:
    live = (
        "[Plugins]\nPlugins[] = TagManager\nPlugins[] = CoreHome\nPlugins[] = Actions\n"
        'Plugins[] = EnvironmentVariables\n[Deletelogs]\ndelete_logs_enable = "1"\n'
        "[General]\nsecond = two\nforce_ssl = on\nsalt =\n"
        "proxy_client_headers[] = HTTP_X_FORWARDED_FOR\n"
    )
    found = of(live, defaults="[General]\nfirst = 1\n")
    assert found == CapturedFile(SEED, (), ())
    assert patch("config.ini.php", SEED, found.text) == ""


def test_a_value_is_replaced_where_it_stands_and_its_comment_stays() -> None:
    found = of(changed(("first = 1", "first = 0"), ('second = "two"', "second=2")))
    assert found.text == changed(("first = 1", "first = 0"), ('second = "two"', "second = 2"))


def test_a_new_key_stands_at_the_end_of_its_section_and_a_new_section_at_the_end() -> None:
    live = changed(
        ("first = 1", "first = 1\nthird = 'x = y; z'"), more="\n[New]\na[b] = 1\nc = 2\n"
    )
    found = of(live)
    assert diff(found) == ["+third = 'x = y; z'", "+", "+[New]", "+a[b] = 1", "+c = 2"]
    lines = found.text.splitlines()
    assert lines[lines.index("force_ssl = 1") + 1] == "third = 'x = y; z'"


def test_of_a_list_only_the_items_that_came_or_went_are_touched() -> None:
    live = changed(
        ('Plugins[] = "CoreHome" ; the first\n', ""),
        ('Plugins[] = "Actions"', 'Plugins[] = "Funnels"\nPlugins[] = "Actions"'),
    )
    assert diff(of(live)) == ['-Plugins[] = "CoreHome" ; the first', '+Plugins[] = "Funnels"']


def test_a_line_that_the_build_dropped_is_not_taken_out_of_the_repository() -> None:
    built = changed(('Plugins[] = "TagManager" ; optional\n', ""))
    assert diff(of(built, seed=built)) == []
    live = built.replace('Plugins[] = "Actions"\n', "")
    assert diff(of(live, seed=built)) == ['-Plugins[] = "Actions"']


def test_a_list_of_which_nothing_is_left_is_written_anew() -> None:
    live = changed(
        ('proxy_client_headers[] = "HTTP_X_FORWARDED_FOR"', 'proxy_client_headers[] = "HTTP_X"')
    )
    assert '+proxy_client_headers[] = "HTTP_X"' in diff(of(live))


def test_a_value_that_became_a_list_and_the_other_way_round() -> None:
    live = changed(
        ("first = 1", "first[] = 1\nfirst[] = 2"),
        ('proxy_client_headers[] = "HTTP_X_FORWARDED_FOR"', "proxy_client_headers = 0"),
    )
    assert '-proxy_client_headers[] = "HTTP_X_FORWARDED_FOR"' in diff(of(live))
    found = ini.read(of(live).text)
    assert found.texts("General", "first") == ("1", "2")
    assert found.text("General", "proxy_client_headers") == "0"


def test_a_key_that_is_gone_takes_its_comment_along_once_no_other_key_is_below_it() -> None:
    assert diff(of(changed(("first = 1\n", "")))) == ["-first = 1"]
    found = of(changed(("first = 1\n", ""), ('second = "two"\n', "")))
    assert sorted(diff(found)) == ["-", "-; Both belong together.", "-first = 1", '-second = "two"']


def test_a_section_that_is_gone_leaves_no_heading() -> None:
    live = changed(("[Deletelogs]\n; Old visits go.\ndelete_logs_enable = 1\n", ""))
    found = of(live, defaults="[Deletelogs]\ndelete_logs_enable = 0\n")
    assert {"-[Deletelogs]", "-; Old visits go.", "-delete_logs_enable = 1"} <= {*diff(found)}
    assert "<?php" in found.text


def test_what_the_live_file_has_in_comments_goes_nowhere() -> None:
    live = f"first = 0 ; {PLANTED}\nlast[] = 1 ; {PLANTED}"
    found = of(changed(("first = 1", live), more=f"; {PLANTED}\n"))
    assert diff(found) == ["-first = 1", "+first = 0", "+last[] = 1"]


def test_of_a_section_that_is_begun_again_the_last_one_counts() -> None:
    found = of(changed(more="\n[Deletelogs]\ndelete_logs_older_than = 9\n"))
    assert "+delete_logs_older_than = 9" in diff(found)
    assert "-delete_logs_enable = 1" in diff(found)


# -- what stays out -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (f'salt = "{PLANTED}"', capture_file.OF_DEPLOYMENT),
        (f'trusted_hosts[] = "{PLANTED}.example"', capture_file.OF_DEPLOYMENT),
        (f'api_token = "{PLANTED}"', capture_file.IS_SECRET),
        (f'smtp_pass = "{PLANTED}"', capture_file.IS_SECRET),
        ('smtp_pass = "abc"', capture_file.IS_SECRET),
        (f'dbPass = "{PLANTED}"', capture_file.IS_SECRET),
        (f'api_keys[] = "{PLANTED}"', capture_file.IS_SECRET),
        (f'licence[] = "{PLANTED}"', capture_file.IS_SECRET),
        ('motto = "8f14e45fceea167a5a36dedd4bea2543"', capture_file.IS_SECRET),
        ('motto = "{\\"token\\": \\"short\\"}"', capture_file.IS_SECRET),
        ('motto = "-----BEGIN PRIVATE KEY-----"', capture_file.IS_SECRET),
        ("access_key = 4711", capture_file.IS_SECRET),
        ('noreply_email_address = "no-reply@analytics.example"', capture_file.IS_ADDRESS),
        ('cors_domains[] = "https://intranet.example"', capture_file.IS_ADDRESS),
        ('proxy_ips[] = "10.1.2.0/24"', capture_file.IS_ADDRESS),
        ('motto = "192.0.2.*"', capture_file.IS_ADDRESS),
        ('motto = "ask somebody@institution.example"', capture_file.IS_ADDRESS),
        ('motto = "2001:db8::1"', capture_file.IS_ADDRESS),
        ('motto = "cache.example:6379"', capture_file.IS_ADDRESS),
        ('redis_host = "cache"', capture_file.IS_ADDRESS),
        ('motto = "${SECRET_NAME}"', "the environment sets it (SECRET_NAME)"),
    ],
)
def test_what_may_be_a_secret_or_an_address_is_named_and_not_shown(line: str, why: str) -> None:
    found = of(changed(("first = 1", f"first = 1\n{line}")))
    assert found.text == SEED
    name = line.split(" ")[0].removesuffix("[]")
    assert [str(each) for each in found.left_out] == [f"[General] {name}: {why}"]


def test_a_secret_stays_out_wherever_else_it_stands() -> None:
    live = changed(
        ("first = 1", f'first = "x {PLANTED} y"'),
        more=f'Plugins[] = "{PLANTED}"\n[database]\npassword = "{PLANTED}"\n',
    )
    found = of(live)
    assert found.text == SEED
    left = {each.what for each in found.left_out}
    assert left == {"[General] first", "[Plugins] Plugins", "[database] password"}


@pytest.mark.parametrize(
    "line",
    [
        "only_allow_secure_auth_tokens = 1",
        "login_allowlist_apply_to_reporting_api_requests = 1",
        "password_hash_algorithm = argon2id",
        'logger_file_path = "tmp/logs/matomo.log"',
        'proxy_host_headers[] = "HTTP_X_FORWARDED_HOST"',
        "tracking_requests_require_authentication = off",
    ],
)
def test_what_only_sounds_like_one_is_captured(line: str) -> None:
    assert diff(of(changed(("first = 1", f"first = 1\n{line}")))) == [f"+{line}"]


def test_sections_of_the_deployment_stay_out_but_for_what_the_tables_need() -> None:
    live = changed(
        more='[database]\nhost = "db"\ncharset = "utf8"\n[mail]\nport = 25\n[proxy]\nport = 8080\n'
        '[PluginsInstalled]\nPluginsInstalled[] = "CoreHome"\n'
    )
    found = of(live)
    assert diff(found) == ["+", "+[database]", '+charset = "utf8"']
    assert [each.what for each in found.left_out] == [
        *("[PluginsInstalled] PluginsInstalled", "[database] host", "[mail] port", "[proxy] port")
    ]
    assert "nobody would make them" in found.left_out[0].why


@pytest.mark.parametrize("variable", ["MATOMO_GENERAL_FIRST", "MATOMO_GENERAL_FIRST_FILE"])
def test_what_a_variable_sets_stays_out(variable: str) -> None:
    live = changed(("first = 1", "first = 0"), ('second = "two"', "second = 2"))
    found = of(live, known=Known({variable}))
    assert diff(found) == ['-second = "two"', "+second = 2"]
    assert [str(each) for each in found.left_out] == [
        f"[General] first: the environment sets it ({variable})"
    ]


# -- the patch ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a = 1\nb = 2", "a = 1\nb = 3"),
        ("a = 1\nb = 2", "a = 1\nb = 2\n"),
        ("a = 1\r\nb = 2\r\n", "a = 1\r\nb = 3\r\n"),
        ("a = \u2028\x0b1\nb = 2\n", "a = \u2028\x0b1\nb = ü\n"),
        (None, "a = 1\n"),
        (SEED, SEED.replace("first = 1", "first = 0")),
    ],
)
@pytest.mark.parametrize("program", [("git", "apply"), ("patch", "-p1", "-s", "-i")])
@pytest.mark.parametrize("path", ["image/config/config.ini.php", "my image/config.ini.php"])
def test_git_and_patch_take_it(
    tmp_path: Path, before: str | None, after: str, program: tuple[str, ...], path: str
) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    if before is not None:
        file.write_bytes(before.encode())
    (tmp_path / "a.patch").write_bytes(patch(path, before, after).encode())
    if program[0] == "git":
        subprocess.run(["git", "apply", "--check", "a.patch"], cwd=tmp_path, check=True)
    subprocess.run([*program, "a.patch"], cwd=tmp_path, check=True)
    assert file.read_bytes() == after.encode()


# -- the policy -----------------------------------------------------------------------------------

POLICY: Final = POLICY_FILE.read_text()


def policy(live: str = "", rows: Rows | None = None, known: Known | None = None) -> CapturedPolicy:
    """Tell the reference's policy of changes of the image's own file, and of rows."""
    seed = capture.OURS.joinpath("config.ini.php").read_text()
    read = ini.read(seed).settings
    changes = differences(read, {**read, **ini.read(live).settings}, {})
    promised = read_policy(POLICY_FILE)
    return capture_policy.captured(POLICY, promised, changes, rows or Rows(), known or Known())


def lines(found: CapturedPolicy) -> list[str]:
    got = patch("image/policy.toml", POLICY, found.text).splitlines()[2:]
    return [line for line in got if line[0] in "+-"]


def general(line: str) -> str:
    """Return a change of one key of [General] in the image's file."""
    seed = ini.read(capture.OURS.joinpath("config.ini.php").read_text())
    key, _, value = line.partition(" = ")
    text = ini.with_key(seed.source, "General", key, value)
    return "[General]\n" + "\n".join(
        e.source for e in ini.read(text).entries if e.section == "General"
    )


@pytest.mark.parametrize(
    ("live", "promise"),
    [
        ("[TwoFactorAuth]\ntwoFactorAuthRequired = 0\n", "[second_factors] for_everybody = true"),
        ("[TwoFactorAuth]\n", "[second_factors] for_everybody = true"),
        (
            "[Deletelogs]\ndelete_logs_enable = 1\ndelete_logs_older_than = 731\n"
            "delete_logs_schedule_lowest_interval = 7\n",
            "[retention] visits_days = 730",
        ),
        (
            general("enable_browser_archiving_triggering = 1"),
            "[archiving] only_by_schedule = true",
        ),
        (
            general("time_before_today_archive_considered_outdated = 1801"),
            "[archiving] today_outdated_after_seconds = 1800",
        ),
        (
            general("datatable_archiving_maximum_rows_events = 4999"),
            "[archiving.maximum_rows] events = 5000",
        ),
        (
            general("enable_processing_unique_visitors_month = 0"),
            '[archiving] unique_visitors_of = ["day", "week", "month"]',
        ),
        ("[Tracker]\nvisit_standard_length = 1801\n", "[settings] visit_length_seconds = 1800"),
        ("[Debug]\ntracker_always_new_visitor = 1\n", "settings: no default safeguard is off"),
        ("[Tracker_3]\na = 1\n", "settings: no site has its own section of the configuration"),
    ],
)
def test_a_setting_that_breaks_a_promise_is_named_and_the_policy_stays(
    live: str, promise: str
) -> None:
    found = policy(live)
    assert [each.promise for each in found.weakened] == [promise]
    assert "promise would be weakened" in str(found.weakened[0])
    assert found.text == POLICY


@pytest.mark.parametrize(
    "line",
    [
        "time_before_today_archive_considered_outdated = 900",
        "datatable_archiving_maximum_rows_events = 0",
        "datatable_archiving_maximum_rows_events = 9000",
    ],
)
def test_a_setting_that_keeps_more_than_is_promised_needs_no_change(line: str) -> None:
    found = policy(general(line))
    assert (found.weakened, found.text) == ((), POLICY)


def plugins(*, come: str = "", go: str = "") -> str:
    seed = ini.read(capture.OURS.joinpath("config.ini.php").read_text())
    names = [name for name in seed.texts("Plugins", "Plugins") if name != go]
    return "[Plugins]\n" + "".join(f"Plugins[] = {name}\n" for name in filter(None, (*names, come)))


def test_plugins_that_came_and_went_are_proposed() -> None:
    found = policy(plugins(come="Funnels", go="Tour"))
    assert lines(found) == ['-    "Tour",', '+    "Funnels",']
    assert not found.weakened


@pytest.mark.parametrize(
    ("live", "promise"),
    [
        (plugins(come="UserId"), "[user_ids] none_stored = true"),
        (plugins(go="TwoFactorAuth"), "[second_factors] for_everybody = true"),
    ],
)
def test_a_plugin_by_which_a_promise_breaks_is_not_proposed(live: str, promise: str) -> None:
    found = policy(live)
    assert [each.promise for each in found.weakened] == [promise]
    assert found.text == POLICY


def test_what_people_clicked_is_proposed_where_no_promise_is_against_it(tmp_path: Path) -> None:
    rows = Rows(
        options=(
            ("PrivacyManager.ipAddressMaskLength", "3"),
            ("PrivacyManager.anonymizeReferrer", ""),
            ("SitesManager_KeepURLFragmentsGlobal", "1"),
        ),
        plugin_settings=(("Live.disable_visitor_log", "1"),),
        site_settings=(("exclude_unknown_urls", "1", "1"), ("exclude_unknown_urls", "1", "2")),
    )
    found = policy(rows=rows)
    assert not found.weakened
    (tmp_path / "policy.toml").write_text(found.text)
    read = read_policy(tmp_path / "policy.toml")
    assert "SitesManager_KeepURLFragmentsGlobal=1" in str(read.value("settings.options"))
    assert read.value("settings.plugin_settings") == ("Live.disable_visitor_log=1",)
    assert read.value("settings.site_settings") == ("exclude_unknown_urls=1",)
    assert "    # The same since 5.8.\n" in found.text
    assert "ipAddressMaskLength" not in found.text


@pytest.mark.parametrize(
    ("rows", "promise"),
    [
        (Rows((("PrivacyManager.ipAddressMaskLength", "1"),)), "[masking] bytes = 2"),
        (Rows((("PrivacyManager.ipAnonymizerEnabled", "0"),)), "[masking] bytes = 2"),
        (
            Rows((("PrivacyManager.anonymizeReferrer", "exclude_all"),)),
            '[settings] options: "PrivacyManager.anonymizeReferrer="',
        ),
        (Rows((("delete_logs_enable", "0"),)), "[retention] visits_days = 730"),
        (Rows((("enableBrowserTriggerArchiving", "1"),)), "[archiving] only_by_schedule = true"),
        (
            Rows(plugin_settings=(("TwoFactorAuth.twoFactorAuthRequired", "0"),)),
            "[second_factors] for_everybody = true",
        ),
        (Rows(open_to_anonymous=1), "[accounts] nothing_for_anonymous = true"),
    ],
)
def test_what_people_clicked_against_a_promise_is_not_proposed(rows: Rows, promise: str) -> None:
    found = policy(rows=rows)
    assert [each.promise for each in found.weakened] == [promise]
    assert found.text == POLICY


def test_a_secret_in_the_database_is_named_and_not_proposed() -> None:
    rows = Rows(
        options=(("branding_note", f"see {PLANTED}"),),
        plugin_settings=(
            ("LoginLdap.bind_password", "abc"),
            ("Some.endpoint", "https://a.example"),
        ),
    )
    found = policy(rows=rows, known=Known((), {PLANTED}))
    assert found.text == POLICY
    assert [each.what for each in found.left_out] == [
        *("option branding_note", "plugin_setting LoginLdap.bind_password"),
        "plugin_setting Some.endpoint",
    ]


# -- all of it ------------------------------------------------------------------------------------


def whole(
    live: str, *, path: str = SEED_PATH, seed: str = "", common: str | None = None, **variables: str
) -> Capture:
    ours = capture.OURS.joinpath("config.ini.php").read_text()
    of_image = capture.OURS.joinpath("common.config.ini.php").read_text()
    config = seed or (ours if path else ini.HEADER)
    seeds = Seeds(path, config, of_image, "[General]\nx = 1\n", "")
    return capture.capture(Live("a file", live, common, seeds, variables, Rows()))


def test_nothing_differs() -> None:
    ours = capture.OURS.joinpath("config.ini.php").read_text()
    found = whole(ours)
    assert found.is_empty
    assert whole("[General]\nx = 1\n", path="").is_empty
    assert found.config_patch == found.policy_patch == ""
    assert found.lines == ["a file: nothing differs"]
    assert (
        whole(ini.with_key(ours, "General", "salt", "x")).lines[0].endswith("but what is left out")
    )
    capture.require_promises_hold(found)


def test_the_file_of_an_image_without_one_is_new() -> None:
    found = whole("[General]\nx = 1\ny = 2\nsalt = abc\n", path="")
    assert found.config_patch.startswith("--- /dev/null\n+++ b/config.ini.php\n")
    assert "+y = 2\n" in found.config_patch
    assert "+x" not in found.config_patch
    assert "apply it where your repository has that file" in found.lines[-2]
    assert "nothing was compared with promises" in found.lines[-1]
    assert not found.weakened


def test_the_file_of_another_image_is_named_and_its_variables_stay_out() -> None:
    seed = '[database]\nhost = "${DB}"\n[General]\nmotto = "${MOTTO}"\na = 1\n'
    live = seed.replace("${MOTTO}", "said").replace("a = 1", "a = 2")
    found = whole(live, path="/app/config.ini.php", seed=seed)
    assert found.config_patch.startswith("--- a/config.ini.php\n")
    assert "+a = 2\n" in found.config_patch
    assert "said" not in found.config_patch
    assert "[General] motto" in found.lines[1]
    assert "/app/config.ini.php" in found.lines[2]


def test_what_an_older_image_had_is_no_drift_and_is_named() -> None:
    ours = capture.OURS.joinpath("config.ini.php").read_text()
    older = ini.with_key(ours, "General", "archive_failure_recovery_timeout", 3600)
    assert whole(older, seed=older).is_empty
    found = whole(ini.with_key(older, "New", "a", 1), seed=older)
    assert "-archive_failure" not in found.config_patch
    assert "+a = 1\n" in found.config_patch
    assert "built from another" in found.lines[-1]
    assert "archive_failure_recovery_timeout" in found.lines[-1]


def test_the_file_of_defaults_is_compared_as_well() -> None:
    ours = capture.OURS.joinpath("config.ini.php").read_text()
    common = capture.OURS.joinpath("common.config.ini.php").read_text()
    found = whole(ours, common=ini.with_key(common, "General", "enable_installer", 1))
    assert found.config_patch.startswith("--- a/image/config/common.config.ini.php\n")
    assert "+enable_installer = 1\n" in found.config_patch


def test_secrets_of_the_environment_are_nowhere() -> None:
    ours = capture.OURS.joinpath("config.ini.php").read_text()
    live = ini.with_key(ours, "New", "motto", f"see {PLANTED}")
    assert PLANTED in whole(live).config_patch  # nothing says what it is
    assert whole(live, MATOMO_MAIL_PASSWORD=PLANTED).config_patch == ""


def test_files_are_written_once_and_never_over_another(tmp_path: Path) -> None:
    ours = capture.OURS.joinpath("config.ini.php").read_text()
    found = whole(ini.with_key(ours, "General", "salt", PLANTED) + "\n[New]\na = 1\n")
    names = [path.name for path in capture.write(found, tmp_path / "to")]
    assert names == ["config.patch", "capture.txt"]
    texts = [path.read_text() for path in (tmp_path / "to").iterdir()]
    assert not [text for text in texts if PLANTED in text]
    assert any("[General] salt" in text for text in texts)
    (tmp_path / "to/config.patch").unlink()
    with pytest.raises(WrongInputError, match=r"capture\.txt is there"):
        capture.require_new(tmp_path / "to")
    with pytest.raises(WrongInputError, match="File exists"):
        capture.write(found, tmp_path / "to")
    assert [path.name for path in (tmp_path / "to").iterdir()] == ["capture.txt"]


# -- wrong input ----------------------------------------------------------------------------------


def archive(path: Path, name: str, text: str, packed: str = "gz") -> bytes:
    (path / "one").write_text(text)
    mode: Any = f"w:{packed}"
    with tarfile.open(path / "one.tar", mode) as tar:
        tar.add(path / "one", name)
    return (path / "one.tar").read_bytes()


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        (b"", "0 sections and 0 keys"),
        (b"<html>\n<p>" + PLANTED.encode() + b"</p>\n</html>\n", "0 sections and 0 keys"),
        (b'[General]\na = "' + PLANTED.encode() + b"\n", r"line 2, \[General\] a: a double quote"),
        (b"\x1f\x8b\x08\x00\xff\xfe", "bytes that are no text"),
        (None, "1 other files"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(
    tmp_path: Path, content: bytes | None, seen: str
) -> None:
    file = tmp_path / "given"
    file.write_bytes(archive(tmp_path, "misc/user/logo.png", "x") if content is None else content)
    with pytest.raises(WrongInputError, match=seen) as error:
        capture.of_file(file, RunSettings())
    assert PLANTED not in str(error.value)


@pytest.mark.parametrize("packed", ["gz", "xz"])
def test_an_archive_that_is_damaged_is_refused(tmp_path: Path, packed: str) -> None:
    # Numbers that do not pack well, so that the tar begins before the damage.
    text = "[General]\n" + "".join(f"a{n} = {n**9 % 1000003}\n" for n in range(20000))
    content = archive(tmp_path, "config/config.ini.php", text, packed)
    half = len(content) // 2
    for damaged in (content[:half], content[:half] + b"\xff" * 400 + content[half + 400 :]):
        (tmp_path / "given").write_bytes(damaged)
        with pytest.raises(WrongInputError, match=r"in \S+given"):
            capture.of_file(tmp_path / "given", RunSettings())


def test_a_directory_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(WrongInputError, match="Is a directory"):
        capture.of_file(tmp_path, RunSettings())


@pytest.mark.parametrize(
    ("live", "text"), [("[New]\nb = 2\n", "; ours\n\n[New]\nb = 2\n"), ("; x\n", "; ours\n")]
)
def test_a_file_to_compare_with_may_have_no_section(live: str, text: str) -> None:
    assert captured("; ours\n", "[Old]\na = 1\n", live, {}, Known((), set())).text == text


@pytest.mark.parametrize("file", ["config.ini.php", "common.config.ini.php"])
def test_a_file_to_compare_with_that_is_no_text_is_refused(tmp_path: Path, file: str) -> None:
    ours = "[General]\na = 1\n"
    for name in ("config.ini.php", "common.config.ini.php"):
        (tmp_path / name).write_text(ours)
    (tmp_path / file).write_bytes(b"[General]\na = \xe9\n")
    live = Live("a file", ours, ours, Seeds(SEED_PATH, ours, ours, ours, ""), {}, Rows())
    with pytest.raises(WrongInputError, match="bytes that are no text") as error:
        capture.capture(live, against=tmp_path / "config.ini.php")
    assert error.value.next_command == f"ls -l {tmp_path / file}"
