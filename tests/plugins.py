"""Two small plugins of Matomo, in three versions each, as folders.

HarnessNotes has a table, which its second version gives a column. HarnessSpeed has a column of
visits and a part of the tracker's script, which its second version changes. The third version of
the first changes code alone, that of the second is for a Matomo that does not exist.
"""

import json
from pathlib import Path
from typing import Final

NOTES: Final = "HarnessNotes"
SPEED: Final = "HarnessSpeed"
NOTES_TABLE: Final = "harness_notes"
SPEED_COLUMN: Final = "harness_speed"

_NOTES: Final = """<?php
namespace Piwik\\Plugins\\HarnessNotes;

use Piwik\\Common;
use Piwik\\Db;
use Piwik\\DbHelper;

class HarnessNotes extends \\Piwik\\Plugin
{
    public function install()
    {
        DbHelper::createTable('harness_notes', "`id` INT NOT NULL AUTO_INCREMENT, "
            . "`note` VARCHAR(100) NOT NULL, AUTHOR PRIMARY KEY (`id`)");
    }

    public function uninstall()
    {
        Db::dropTables(Common::prefixTable('harness_notes'));
    }
}
"""
_AUTHOR: Final = "`author` VARCHAR(100) NULL,"
_NOTES_UPDATE: Final = """<?php
namespace Piwik\\Plugins\\HarnessNotes;

use Piwik\\Updater;
use Piwik\\Updater\\Migration\\Factory;
use Piwik\\Updates as PiwikUpdates;

class Updates_1_1_0 extends PiwikUpdates
{
    private $migration;

    public function __construct(Factory $factory)
    {
        $this->migration = $factory;
    }

    public function getMigrations(Updater $updater)
    {
        return [$this->migration->db->addColumn('harness_notes', 'author', 'VARCHAR(100) NULL')];
    }

    public function doUpdate(Updater $updater)
    {
        $updater->executeMigrations(__FILE__, $this->getMigrations($updater));
    }
}
"""
_SPEED: Final = """<?php
namespace Piwik\\Plugins\\HarnessSpeed;

class HarnessSpeed extends \\Piwik\\Plugin
{
    public function isTrackerPlugin()
    {
        return true;
    }
}
"""
_SPEED_COLUMN: Final = """<?php
namespace Piwik\\Plugins\\HarnessSpeed\\Columns;

use Piwik\\Plugin\\Dimension\\VisitDimension;

class Speed extends VisitDimension
{
    protected $columnName = 'harness_speed';
    protected $columnType = 'INT UNSIGNED NULL';
    protected $nameSingular = 'General_Value';
    protected $type = self::TYPE_NUMBER;
}
"""


def plugin(directory: Path, name: str, version: str) -> Path:
    """Write a plugin below `directory`; return its folder."""
    folder = directory / name
    require = ">=99.0.0" if (name, version) == (SPEED, "1.2.0") else ">=5.0.0-b1,<7.0.0-b1"
    described = {
        "name": name,
        "description": "A plugin of the tests.",
        "version": version,
        "theme": False,
        "require": {"matomo": require},
        "license": "GPL-3.0-or-later",
    }
    files = {"plugin.json": json.dumps(described, indent=4) + "\n"}
    if name == NOTES:
        has_author = version != "1.0.0"
        files["HarnessNotes.php"] = _NOTES.replace("AUTHOR", _AUTHOR if has_author else "")
        if has_author:
            files["Updates/1.1.0.php"] = _NOTES_UPDATE
    else:
        files["HarnessSpeed.php"] = _SPEED
        files["Columns/Speed.php"] = _SPEED_COLUMN
        files["tracker.js"] = f"(function () {{ window.harnessSpeed = '{version}'; }})();\n"
        files["tracker.min.js"] = files["tracker.js"]
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder
