"""Mutants of code: code runs that is not the image's, or the image's Matomo is not its base's."""

from typing import Final

from matomo_harness.gate.mutants import Location, Mutants, Topology
from matomo_harness.gate.mutants.changes import apache, every, in_web, key

MUTANTS: Final = Mutants("code")

DRIFT: Final = "settings.file_is_of_the_image"

MUTANTS.add(
    "older_code",
    "the volume has the code of an older Matomo",
    Location.VOLUME,
    "version_is_of_the_image",
    in_web("sed -Ei \"s/VERSION = '([0-9]+)/VERSION = '\\1.0/\" core/Version.php"),
    "U1",
    Topology.DEDICATED,
)
MUTANTS.add(
    "plugins_by_upload",
    "a browser may upload plugins",
    Location.FILE,
    ("no_update_from_a_browser", DRIFT),
    key("General", "enable_plugin_upload", 1),
    "U5",
)
MUTANTS.add(
    "auto_update",
    "a browser may update the code",
    Location.FILE,
    ("no_update_from_a_browser", DRIFT),
    key("General", "enable_auto_update", 1),
    "U5",
)
MUTANTS.add(
    "program_added",
    "somebody put a tool for the database into the web root",
    Location.VOLUME,
    "web_root_is_of_the_image",
    in_web("echo '<?php echo 1;' > adminer.php"),
    topology=Topology.DEDICATED,
)
MUTANTS.add(
    "services_overruled",
    "config.php on the volume overrules Matomo's own services",
    Location.VOLUME,
    "web_root_is_of_the_image",
    in_web("echo '<?php return [];' > config/config.php"),
    topology=Topology.DEDICATED,
)
MUTANTS.add(
    "file_of_another_host",
    "the volume has a config.ini.php for one host name alone",
    Location.VOLUME,
    "web_root_is_of_the_image",
    in_web("cp config/config.ini.php config/analytics.example.config.ini.php"),
    topology=Topology.DEDICATED,
)
MUTANTS.add(
    "hotfix",
    "somebody fixed a file in production by hand",
    Location.VOLUME,
    "web_root_is_of_the_image",
    in_web("echo '// a hotfix' >> core/Tracker/Visit.php"),
    topology=Topology.DEDICATED,
)
MUTANTS.add(
    "matomo_patched",
    "the build patches one of Matomo's own files",
    Location.IMAGE,
    "matomo_is_of_the_base",
    in_web("echo '// mended' >> /usr/src/matomo/core/Access.php"),
    topology=Topology.DEDICATED,
)
MUTANTS.add(
    "file_in_a_bundled_plugin",
    "the build adds a file to one of Matomo's own plugins, which overrules its services",
    Location.IMAGE,
    "matomo_is_of_the_base",
    in_web("echo '<?php return [];' > /usr/src/matomo/plugins/TwoFactorAuth/config/config.php"),
    topology=Topology.DEDICATED,
)
MUTANTS.add(
    "compiled_page",
    "a compiled page in tmp/ has an extra line, which records who logs in",
    Location.VOLUME,
    "compiled_pages_only_show",
    in_web(
        "mkdir -p tmp/templates_c/aa; chmod 755 tmp/templates_c/aa;"
        " echo '<?php error_log($_POST[\"form_login\"]);' > tmp/templates_c/aa/aabb.php"
    ),
    topology=Topology.DEDICATED,
)
MUTANTS.add(
    "agent_before_each_page",
    "a monitoring agent is loaded before each page and sees which visitor sent a hit",
    Location.IMAGE,
    "nothing_runs_beside_matomo",
    every(
        in_web("echo '<?php $seen = $_SERVER;' > /usr/local/lib/agent.php"),
        apache("php_admin_value auto_prepend_file /usr/local/lib/agent.php"),
    ),
    "O6",
    Topology.DEDICATED,
)
