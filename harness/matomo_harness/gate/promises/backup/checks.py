"""Backup: all that an image cannot bring back is saved whole and can be restored."""

import secrets
from typing import Final

from pydantic import Field

from matomo_harness.gate.core.check import (
    CannotTellError,
    Capability,
    Finding,
    Group,
    Severity,
    nothing,
)
from matomo_harness.gate.core.promise import Promise
from matomo_harness.gate.probes.php import require_program
from matomo_harness.matomo.container import MatomoContainer
from matomo_harness.matomo.image import BACKUP, RESTORE
from matomo_harness.policy import Section


class Backup(Section, table="backup"):
    """What is saved of what an image cannot bring back."""

    whole: bool | None = Field(
        default=None,
        description="The backup has all that an image cannot bring back, and a restore brings it"
        " back.",
    )


PROMISE: Final = Promise(
    "backup", "All that an image cannot bring back is saved whole and can be restored.", Backup
)

SAVED: Final = ("config", "misc", "js", "matomo.js", "piwik.js")
"""What an image cannot bring back (image/bin/backup-data.sh)."""


@PROMISE.check(
    "broken_backup_is_not_taken",
    formerly="configuration.a_backup_that_breaks_off_is_not_taken",
    proves="whole",
    severity=Severity.HIGH,
    remedy="Have backup-data.sh end at the first error (set -e), and rename a part only once its"
    " copy is whole.",
    failure_mode="F5",
    needs=[Capability.CHANGE],
)
def broken_backup_is_not_taken(container: MatomoContainer) -> Finding:
    """A backup that breaks off reports a failure and leaves the last whole backup in place."""
    require_program(container, BACKUP)
    place = f"/tmp/gate-{secrets.token_hex(6)}"  # noqa: S108  in the container
    # This `cp` fails at the last part, as on a full file system.
    script = (
        f"mkdir -p {place}/bin {place}/saved/misc; echo whole > {place}/saved/misc/kept;"
        f" printf '%s\n' '#!/bin/sh' 'case \"$*\" in *piwik.js*) exit 1;; esac' 'exec /bin/cp \"$@\"'"
        f" > {place}/bin/cp; chmod +x {place}/bin/cp;"
        f" PATH={place}/bin:$PATH backup-data.sh {place}/saved >/dev/null 2>&1"
        " && echo the broken backup ended with exit code 0;"
        f" [ -e {place}/saved/misc/kept ] || echo the last backup is gone; rm -rf {place}"
    )
    return nothing("fault", container.run("sh", "-c", script, user="root").splitlines())


@PROMISE.check(
    "restore_brings_all_back",
    formerly="configuration.a_restore_brings_all_back",
    proves="whole",
    severity=Severity.HIGH,
    remedy="Have restore-data.sh copy back every part that backup-data.sh saves: config, misc and"
    " js.",
    failure_mode="F5",
    needs=[Capability.CHANGE],
    group=Group.WEB_ROOT,
)
def restore_brings_all_back(container: MatomoContainer) -> Finding:
    """The restore brings back every lost file of config, misc and js."""
    require_program(container, RESTORE)
    require_program(container, BACKUP)
    place, name = f"/tmp/gate-{secrets.token_hex(6)}", f"gate-{secrets.token_hex(6)}"  # noqa: S108
    files = " ".join(f"{part}/{name}" for part in ("config", "misc", "js"))
    script = (
        f"mkdir {place}; for file in {files}; do echo kept > $file; done;"
        f" backup-data.sh {place} >&2; rm {files}; restore-data.sh {place} >&2;"
        f" for file in {files}; do [ -e $file ] || echo $file; rm -f $file; done; rm -rf {place}"
    )
    return nothing("lost file", container.run("sh", "-ec", script, user="root").splitlines())


@PROMISE.check(
    "is_whole",
    formerly="configuration.backup_is_whole",
    proves="whole",
    severity=Severity.HIGH,
    remedy="Have backup-data.sh copy config, misc, js, matomo.js and piwik.js as they are.",
    failure_mode="F5",
    # In a shared web root config/ has the files of other instances too, which may write them now.
    needs=[Capability.WEB_ROOT, Capability.CHANGE],
    group=Group.WEB_ROOT,
)
def is_whole(container: MatomoContainer) -> Finding:
    """The backup holds all of config, misc and js, and the tracker's two files."""
    if BACKUP not in container.profile.programs:
        raise CannotTellError(f"the image has no {BACKUP} with the reference image's contract")
    place = f"/tmp/gate-{secrets.token_hex(6)}"  # noqa: S108  in the container
    compare = f"for part in {' '.join(SAVED)}; do LC_ALL=C diff -rq $part {place}/$part 2>&1; done"
    script = f"mkdir {place} && backup-data.sh {place} >&2; {compare}; rm -rf {place}"
    return nothing("difference", container.run("sh", "-c", script, user="root").splitlines())
