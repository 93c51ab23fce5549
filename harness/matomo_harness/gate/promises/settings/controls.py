"""Controls of settings: file and database say the same in another way, or alter no setting."""

from typing import Final

from matomo_harness.gate.mutants import Control, Deployment, Part
from matomo_harness.gate.mutants.changes import api, file, sql


def _reversed(text: str) -> str:
    """Write the keys of [General] in another order; lists keep theirs."""
    head, _, rest = text.partition("[General]\n")
    body, bracket, tail = rest.partition("\n[")
    lines = [line for line in body.splitlines() if line and not line.startswith(";")]
    single = [line for line in lines if "[]" not in line]
    lists = [line for line in lines if "[]" in line]
    return "\n".join([f"{head}[General]", *lists, *reversed(single), ""]) + bracket + tail


def _commented(text: str) -> str:
    """Write comments and blank lines before a section."""
    comments = "\n; a word\n\n; another = one\n\n"
    return text.replace("[TwoFactorAuth]", f"{comments}[TwoFactorAuth]")


def _save(deployment: Deployment) -> None:
    """Have Matomo save its configuration, which is the same afterwards."""
    canary = ("--section=General", "--key=gate_canary")
    deployment.instance.shell.console("config:set", *canary, "--value=1")
    deployment.instance.shell.console("config:delete", *canary)


CONTROLS: Final[tuple[Control, ...]] = (
    Control(
        "control.site_name",
        "site 1 has another name",
        sql("UPDATE {prefix}site SET name = 'Bibliothèque ✓ \"2\"'"),
        alters=(Part.SITE_NAME,),
    ),
    Control(
        "control.currency",
        "site 1 counts in another currency",
        sql("UPDATE {prefix}site SET currency = 'CHF'"),
        alters=(Part.SITE_CURRENCY,),
    ),
    Control(
        "control.key_order",
        "the keys of config.ini.php are in another order",
        file(_reversed),
        alters=(Part.FILE_LAYOUT,),
    ),
    Control(
        "control.comments",
        "config.ini.php has more comments and blank lines",
        file(_commented),
        alters=(Part.FILE_LAYOUT,),
    ),
    Control(
        "control.saved_unchanged",
        "somebody saved Anonymize data as it was",
        api(
            "PrivacyManager.setAnonymizeIpSettings",
            anonymizeIPEnable=1,
            maskLength=2,
            ipAddressMaskLength=2,
            useAnonymizedIpForVisitEnrichment=0,
        ),
        alters=(Part.MASK,),
    ),
    Control(
        "control.annotation",
        "somebody annotated a day",
        api("Annotations.add", idSite=1, date="2026-01-05", note="moved"),
        alters=(Part.ANNOTATIONS,),
    ),
    Control(
        "control.last_saved",
        "Matomo has saved its configuration itself",
        _save,
        alters=(Part.FILE_LAYOUT, Part.PLUGIN_LIST, Part.TRUSTED_HOSTS),
    ),
)
