"""Changes by hand to an instance's config.ini.php."""

from matomo_harness.matomo import ini, versions
from matomo_harness.pytest_plugin import MatomoByTls


def set_key(matomo: MatomoByTls, section: str, key: str, value: str | int) -> None:
    """Set one key; `key[]` adds to a list."""
    shell = matomo.instance.shell
    shell.write(shell.config, ini.with_key(shell.read(shell.config), section, key, value))


def open_general_settings(matomo: MatomoByTls) -> None:
    """Open the archiving and mail settings of that page, which the image closes."""
    set_key(matomo, "General", "enable_general_settings_admin", 1)


def set_masking(matomo: MatomoByTls, *, enabled: bool = True, masked_bytes: int = 2) -> None:
    """Set how addresses are masked, by the API."""
    matomo.instance.api.call(
        "PrivacyManager.setAnonymizeIpSettings",
        anonymizeIPEnable=int(enabled),
        useAnonymizedIpForVisitEnrichment=0,
        **versions.mask_length(masked_bytes),
    )
