"""What a rehearsal found, as it came."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from matomo_harness.operate.rehearsal.hits import HitAccount
from matomo_harness.operate.rehearsal.judge import Judgement
from matomo_harness.operate.rehearsal.plugin import PluginChange
from matomo_harness.operate.rehearsal.state import State
from matomo_harness.operate.rehearsal.updater import Update


@dataclass(frozen=True)
class SeenPage:
    """What somebody sees.

    Args:
        name: of the page.
        status: of the answer; None where there was none.
        text: the beginning of what it says.
    """

    name: str
    status: int | None
    text: str


@dataclass(frozen=True)
class Stage:
    """A stage of the rehearsal.

    Args:
        name: what it is.
        seconds: that it took.
        pages: what is seen at its end.
    """

    name: str
    seconds: float
    pages: tuple[SeenPage, ...] = ()


@dataclass(frozen=True)
class ServerChange:
    """Another database server under the same data.

    Args:
        before: version of the server that ran.
        after: of the new one.
        way: how the data got there.
        image: reference of the new one's image.
        changed: tables that differ from before; visits are left out, as hits go on.
        speech: keys of [database] in config.ini.php that Matomo needs with this server, and that
            the rehearsal has written.
    """

    before: str
    after: str
    way: str
    image: str
    changed: tuple[str, ...]
    speech: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Findings:
    """Everything that a rehearsal found, as it came.

    Args:
        source: what it began with.
        image: reference of the image before.
        new_image: likewise after.
        new_version: of the code in that.
        changes_code: whether the image is another one; else the database server alone.
        plugin: that is added, updated or removed; None where none is.
        archiver: the command that archives.
        archiver_failed: what was seen where it failed, by the stage: today's code or the new one.
        stages: in their order.
        server: the new database server; None where it stays.
        before: the state before.
        after: the state after the update.
        update: how it went; None where it was not begun.
        second_update: how its second run went, where the first one failed.
        restart_takes_back: keys of config.ini.php that the update wrote, and a restart took away.
        deployment_loses_tracker: whether the next deployment has another matomo.js than the update
            or the plugin's activation made.
        config_patch: what the update wrote, as a change of a config.ini.php.
        config_left_out: keys of it that are in no patch, and why.
        emptied: tables that had rows before, and are empty or gone after the update.
        changed_archives: archives whose rows the update changed.
        compared_archives: rows that were compared.
        changed_numbers: reports that are not the same after the update.
        unreadable: those of them that had rows, and are empty or an error now.
        changed_again: reports that are not the same once their last day was archived anew.
        compared_numbers: reports that were compared.
        hits: what became of the hits, stage by stage.
        unknown_hits: hits of which nobody knows whether they were stored: the database was gone.
        lost_by_return: hits that were stored since the snapshot, and that its restore takes away.
        back_at_once: tables that the short way back changed, besides those that always move.
        back_restored: tables that differ from the snapshot once it is restored.
        gates: by stage.
        failed: why the rehearsal ended early; empty where it did not.
    """

    source: str
    image: str
    new_image: str
    new_version: str
    changes_code: bool = True
    plugin: PluginChange | None = None
    archiver: str = ""
    archiver_failed: dict[str, str] = field(default_factory=dict)
    stages: list[Stage] = field(default_factory=list)
    server: ServerChange | None = None
    before: State | None = None
    after: State | None = None
    update: Update | None = None
    second_update: Update | None = None
    restart_takes_back: tuple[str, ...] = ()
    deployment_loses_tracker: bool = False
    config_patch: str = ""
    config_left_out: tuple[str, ...] = ()
    emptied: tuple[str, ...] = ()
    changed_archives: tuple[str, ...] = ()
    compared_archives: int = 0
    changed_numbers: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    changed_again: tuple[str, ...] = ()
    compared_numbers: int = 0
    hits: tuple[HitAccount, ...] = ()
    unknown_hits: int = 0
    lost_by_return: int = 0
    back_at_once: tuple[str, ...] | None = None
    back_restored: tuple[str, ...] | None = None
    gates: dict[str, Judgement] = field(default_factory=dict)
    failed: str = ""

    def seconds(self, *names: str) -> float:
        """Return what the stages of these names took together."""
        return sum(each.seconds for each in self.stages if each.name in names)
