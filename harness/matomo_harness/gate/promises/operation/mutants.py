"""Mutants of operation: Matomo does not start as it should, nobody gets in, or a fault goes unnoticed."""

import base64
from typing import Final

from matomo_harness.gate.mutants import Deployment, Location, Mutants, Topology
from matomo_harness.gate.mutants.changes import file, image_file, in_web, key, program
from matomo_harness.gate.promises.transport.mutants import no_scheme
from matomo_harness.runtime.certificates import authority
from matomo_harness.runtime.engine import execute
from matomo_harness.runtime.load_balancer import CERTIFICATE_FILE, haproxy_certificate
from matomo_harness.runtime.shell import wait_for_answer

MUTANTS: Final = Mutants("operation")

BROKEN: Final = "; throw new Error('cut off');"
"""A script that fails where it is appended."""

MUTANTS.add(
    "writable_by_all",
    "somebody made config.ini.php writable for everybody, to make something work",
    Location.VOLUME,
    "configuration_is_closed_to_others",
    in_web("chmod 666 config/config.ini.php"),
    topology=Topology.DEDICATED,
)
MUTANTS.add(
    "system_check",
    "Matomo may not write to one of its directories",
    Location.VOLUME,
    "system_check_has_no_error",
    in_web("mkdir -p tmp/tcpdf; chown -R root tmp/tcpdf; chmod 755 tmp/tcpdf"),
    "F4",
    Topology.DEDICATED,
)
MUTANTS.add(
    "redirects_for_ever",
    "the proxy sends no scheme, and https is forced",
    Location.PROXY,
    "login_page_is_reached",
    no_scheme,
    "M1",
    Topology.FULL_STACK,
)
MUTANTS.add(
    "broken_line",
    "a comment was broken over two lines",
    Location.FILE,
    "configuration_is_well_formed",
    file(lambda text: f"{text}\nredefining them in this file.\n"),
    "M2",
)
MUTANTS.add(
    "installer_open",
    "a volume mounted over config/ lacks the file that closes the image's installer",
    Location.VOLUME,
    "half_saved_file_opens_no_installer",
    in_web("rm config/common.config.ini.php"),
    topology=Topology.DEDICATED,
)
MUTANTS.add(
    "health_is_always_good",
    "the health check says healthy without a check",
    Location.IMAGE,
    "health_check_sees_what_is_wrong",
    in_web("printf '#!/bin/sh\\necho healthy\\n' > /usr/local/bin/matomo-health"),
    topology=Topology.DEDICATED,
)
MUTANTS.add(
    "maintenance",
    "Matomo is in maintenance mode",
    Location.FILE,
    ("login_page_is_reached", "settings.file_is_of_the_image"),
    key("General", "maintenance_mode", 1),
    "C13",
)


@MUTANTS.mutant(
    "certificate_expired",
    Location.CERTIFICATE,
    ("login_page_is_reached", "transport.cookies_are_secure"),
    "E3",
    Topology.FULL_STACK,
)
def _expire_the_certificate(deployment: Deployment) -> None:
    """The load balancer's certificate expired yesterday."""
    stack = deployment.full_stack
    expired = authority().issue("localhost", expired=True)
    encoded = base64.b64encode(haproxy_certificate(expired)).decode()
    container = stack.load_balancer.get_wrapped_container()
    script = f"echo {encoded} | base64 -d > {CERTIFICATE_FILE}"
    execute(container, ["sh", "-ec", script], user="root")
    container.restart(timeout=1)
    wait_for_answer(container, "the load balancer", lambda: stack.load_balancer.http.ask(""))


MUTANTS.add(
    "live_file_overwritten",
    "the entrypoint puts the image's config.ini.php over the live one at each start, to stop drift",
    Location.IMAGE,
    "start_leaves_the_live_file",
    program("matomo-entrypoint", 's/if \\[ ! -e "$live" \\]; then/if true; then/'),
    "C9",
    Topology.DEDICATED,
)
MUTANTS.add(
    "section_begun_twice",
    "a snippet with a [General] of its own was appended: PHP drops all of the first",
    Location.IMAGE,
    "configuration_is_well_formed",
    image_file(lambda text: f"{text}\n[General]\nenable_update_communication = 0\n"),
    "C9",
    Topology.DEDICATED,
)
MUTANTS.add(
    "health_check_may_not_ask",
    "PHP was hardened (allow_url_fopen): the health check calls every task unhealthy",
    Location.IMAGE,
    "health_check_sees_what_is_wrong",
    in_web(
        'directory=$(php -r "echo PHP_CONFIG_FILE_SCAN_DIR;");'
        " echo 'allow_url_fopen = Off' > $directory/99-hardened.ini"
    ),
    topology=Topology.DEDICATED,
)
MUTANTS.add(
    "empty_volume_stays_empty",
    "the entrypoint leaves an empty config/ alone, because a mounted one must never be touched",
    Location.IMAGE,
    "start_fills_an_empty_volume",
    program("matomo-entrypoint", 's/if \\[ ! -e "$live" \\]; then/if false; then/'),
    "C5",
    Topology.DEDICATED,
)
MUTANTS.add(
    "script_broken",
    "a script of the administration pages fails as it is loaded",
    Location.IMAGE,
    "pages_run_without_errors",
    in_web(f'echo "{BROKEN}" >> plugins/CoreHome/javascripts/corehome.js; rm -rf tmp/assets/*'),
    "G4",
    Topology.DEDICATED,
)
MUTANTS.add(
    "words_missing",
    "the web server may not read lang/: pages show General_Username where words should be",
    Location.VOLUME,
    "pages_say_words",
    in_web("chown root lang; chmod 700 lang; rm -rf tmp/cache/*"),
    "F4",
    Topology.DEDICATED,
)
