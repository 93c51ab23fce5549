"""Controls of exposure: more headers than promised, and more files, which the policy names."""

from typing import Final

from matomo_harness.gate.mutants import Control, Deployment, Part, Topology
from matomo_harness.gate.mutants.changes import apache, in_web
from matomo_harness.gate.promises.exposure.checks import Exposure


def _declare(deployment: Deployment) -> None:
    """Have a script of the institution's own served, which its policy names."""
    in_web("echo '// ours' > js/ours_1.js; chmod 644 js/ours_1.js")(deployment)
    apache('<Location "/js/ours_1.js">', "Require all granted", "</Location>")(deployment)
    promised = deployment.policy.section(Exposure)
    more = promised.model_copy(update={"may_be_served": ("js/ours_*.js",)})
    deployment.policy = deployment.policy.with_section(more)


CONTROLS: Final[tuple[Control, ...]] = (
    Control(
        "control.more_headers",
        "more security headers than promised",
        apache("Header always set Strict-Transport-Security max-age=31536000"),
        Topology.DEDICATED,
        alters=(Part.HEADERS,),
    ),
    Control(
        "control.declared_file",
        "a script of the institution's own is served from js/, and its policy names it",
        _declare,
        Topology.DEDICATED,
    ),
)
