"""Images with a Matomo that comes next: each breaks one thing on the way there, or nothing.

Each is built on the image that runs, with a version that does not exist and an update of our own.
"""

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from matomo_harness.operate.rehearsal.verdict import Weight
from matomo_harness.runtime import images
from matomo_harness.runtime.images import Image

CODE: Final = "/usr/src/matomo"
"""What our image's entrypoint copies into the web root."""
NEXT: Final = "5.3.2"
"""The version after 5.3.1; there is no update of Matomo's own to it."""
UPDATE: Final = f"""<?php
namespace Piwik\\Updates;

use Piwik\\Common;
use Piwik\\Config;
use Piwik\\Db;
use Piwik\\Option;
use Piwik\\Plugin\\Manager;
use Piwik\\Updater;
use Piwik\\Updater\\Migration\\Factory;
use Piwik\\Updates as PiwikUpdates;

class Updates_{NEXT.replace(".", "_")} extends PiwikUpdates
{{
    private $migration;

    public function __construct(Factory $factory)
    {{
        $this->migration = $factory;
    }}

    public function getMigrations(Updater $updater)
    {{
        $all = [];
        MIGRATIONS
        return $all;
    }}

    public function doUpdate(Updater $updater)
    {{
        $updater->executeMigrations(__FILE__, $this->getMigrations($updater));
        CODE
    }}
}}
"""


@dataclass(frozen=True)
class BrokenUpgrade:
    """An image of the next version, and what a rehearsal says of it.

    Args:
        name: what is wrong with it.
        says: a pattern that a reason's sentence has.
        weight: of that reason.
        migrations: PHP that adds to `$all`.
        code: PHP that the update runs at its end.
        image: lines of a Dockerfile.
        policy: lines of the policy's section [upgrade].
    """

    name: str
    says: str = ""
    weight: Weight = Weight.NO
    migrations: str = ""
    code: str = ""
    image: Sequence[str] = ()
    policy: str = ""

    @property
    def id(self) -> str:
        """Its name in a test's."""
        return re.sub(r"\W+", "-", self.name)

    def build(self, old: Image) -> Image:
        """Build it on the image that runs."""
        update = UPDATE.replace("MIGRATIONS", self.migrations).replace("CODE", self.code)
        lines = [
            f"FROM {old.reference}",
            f"COPY update.php {CODE}/core/Updates/{NEXT}.php",
            f"RUN sed -i \"s/VERSION = '.*'/VERSION = '{NEXT}'/\" {CODE}/core/Version.php",
            *(f"RUN {line}" for line in self.image),
        ]
        with tempfile.TemporaryDirectory() as directory:
            context = Path(directory)
            (context / "update.php").write_text(update)
            (context / "Dockerfile").write_text("\n".join(lines) + "\n")
            tag = f"{images.REPOSITORY}/test-upgrade-{self.id.lower()[:60]}:{old.digest}"
            return images.build(context, tag, {}, {})


def _sql(statement: str) -> str:
    """Return PHP that adds a statement of SQL; {table} in it is that table with its prefix."""
    php = re.sub(r"\{(\w+)\}", r"' . Common::prefixTable('\1') . '", statement)
    return f"$all[] = $this->migration->db->sql('{php}');"


def _of_archives(kind: str, statement: str) -> str:
    """Return PHP that adds a statement for each table of archives, which it calls TABLE."""
    php = statement.replace("TABLE", "' . $table . '")
    return (
        f"foreach (Db::fetchAll('SHOW TABLES LIKE \"%archive\\_{kind}\\_%\"') as $row) {{"
        f" $table = reset($row); $all[] = $this->migration->db->sql('{php}'); }}"
    )


HALF_WAY: Final = BrokenUpgrade(
    "a migration fails half way and its second run as well",
    r"ended early: .*core:update.*harness_nowhere.*its second run: exit [1-9]",
    migrations=_sql("ALTER TABLE {site} ADD COLUMN harness INT NULL")
    + _sql("ALTER TABLE {harness_nowhere} ADD COLUMN harness INT NULL"),
)
AT_ONCE: Final = (
    BrokenUpgrade(
        "an update says done and leaves a column out",
        r"columns that active plugins store hits in are not there: .*log_visit\.config_resolution",
        migrations=_sql("ALTER TABLE {log_visit} DROP COLUMN config_resolution"),
    ),
    BrokenUpgrade(
        "a migration changes a number",
        r"archives are not as they were after core:update: .*\bnb_visits \(",
        migrations=_of_archives(
            "numeric", 'UPDATE TABLE SET value = value + 1 WHERE name = "nb_visits"'
        ),
    ),
    BrokenUpgrade(
        "the update switches a plugin off",
        r"active before, and not any more: Annotations",
        code="Manager::getInstance()->deactivatePlugin('Annotations');",
    ),
    BrokenUpgrade(
        "a new plugin of Matomo stays off behind our own list",
        r"here they stay off, .*: Marketplace2$",
        Weight.STEP,
        image=(
            f'sed -i \'/^Plugins\\[\\] = "\\?CoreVue/a Plugins[] = "Marketplace2"\''
            f" {CODE}/config/global.ini.php",
        ),
    ),
    BrokenUpgrade(
        "a table gets a collation that mixes with the others",
        r"another character set or collation than the rest: .*segment \(utf8mb4_bin\)",
        migrations=_sql(
            "ALTER TABLE {segment} CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        ),
    ),
    BrokenUpgrade(
        "one table gets another character set",
        r"another character set or collation than the rest: .*goal \(latin1",
        migrations=_sql("ALTER TABLE {goal} CONVERT TO CHARACTER SET latin1"),
    ),
    BrokenUpgrade(
        "a migration empties a table",
        r"tables that had rows before are empty or gone: .*\btwofactor_recovery_code\b",
        migrations=_sql("DELETE FROM {twofactor_recovery_code}"),
    ),
    BrokenUpgrade(
        "an archive cannot be read any more",
        r"said something before, and are empty or an error now: .*Actions\.getPageUrls",
        migrations=_of_archives(
            "blob", 'UPDATE TABLE SET value = "x" WHERE name = "Actions_actions_url"'
        ),
    ),
)
"""What is seen in one rehearsal, each by its own name."""
ALONE: Final = (
    HALF_WAY,
    BrokenUpgrade(
        "a migration fails half way and its second run goes through",
        r"failed half way, and its second run went through: the first said exit [1-9].*not yet",
        # Any other exception is a warning to Matomo, and the update goes on (core/Updater.php).
        code="if (!Option::get('harness')) { Option::set('harness', 1);"
        " throw new \\Piwik\\UpdaterErrorException('not yet'); }",
    ),
    BrokenUpgrade(
        "a part of an update throws and Matomo notes it as done",
        r"says that it is done, and left something out, .*: not at all$",
        code="throw new \\Exception('not at all');",
    ),
    BrokenUpgrade(
        "a migration takes longer than the policy allows",
        r"longest_minutes = 0\.5; the longest step took 3\d(\.\d+)? s: SELECT SLEEP\(31\)",
        migrations=_sql("SELECT SLEEP(31)"),
        policy="longest_minutes = 0.5",
    ),
    BrokenUpgrade(
        "what comes back from the logs has other numbers",
        r"other numbers once their day is archived anew: .*UserCountry\.getCountry",
        migrations=_sql('UPDATE {log_visit} SET location_country = "xx"'),
    ),
    BrokenUpgrade(
        "the image takes back what the update wrote into the file",
        r"gone with the next deployment: .*\[General\] login_session_timeout_seconds",
        Weight.STEP,
        code="$config = Config::getInstance();"
        " $config->General['login_session_timeout_seconds'] = 1234; $config->forceSave();",
        # Its entrypoint writes the file anew at each start, as one that renders a template does.
        image=(
            "sed -i 's/if \\[ ! -e \"$live\" \\]; then/if true; then/'"
            " /usr/local/bin/matomo-entrypoint",
        ),
    ),
    BrokenUpgrade(
        "the volume has the old code",
        rf"Matomo 5\.3\.1 runs from an image with {re.escape(NEXT)}: the volume has old code",
        # As where the web root is a volume: what is copied into it is not what the image has.
        image=(
            f"cp -a {CODE} /usr/src/old && rm /usr/src/old/core/Updates/{NEXT}.php"
            f" && sed -i \"s/VERSION = '.*'/VERSION = '5.3.1'/\" /usr/src/old/core/Version.php"
            " && sed -i 's:^code=.*:code=/usr/src/old:' /usr/local/bin/matomo-entrypoint",
        ),
    ),
    BrokenUpgrade(
        "the new image does not start",
        r"ended early: .*to start on this database",
        image=(
            "printf '#!/bin/sh\\necho no licence >&2; exit 1\\n'"
            " > /usr/local/bin/matomo-entrypoint",
        ),
    ),
    BrokenUpgrade(
        "the tracker says that all is well and stores nothing",
        r"\d+ hits were answered well and not stored",
        image=(f"printf '<?php http_response_code(204);' > {CODE}/matomo.php",),
    ),
)
"""What needs a rehearsal to itself."""
CONTROLS: Final = (
    BrokenUpgrade("a patch version"),
    BrokenUpgrade(
        "a plugin update without a schema",
        image=(
            'sed -i \'s/"version": ".*"/"version": "1.0.1"/\''
            f" {CODE}/plugins/NoUserIds/plugin.json",
        ),
    ),
)
"""Harmless ones, against which nothing speaks."""
TOGETHER: Final = BrokenUpgrade(
    "several at once",
    migrations="\n        ".join(each.migrations for each in AT_ONCE),
    code="\n        ".join(each.code for each in AT_ONCE),
    image=tuple(line for each in AT_ONCE for line in each.image),
)


def every() -> tuple[BrokenUpgrade, ...]:
    """Return all that break something, each by itself."""
    return (*(replace(each) for each in AT_ONCE), *ALONE)
