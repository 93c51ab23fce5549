"""Matomo's versions: which are supported, which the tests run on, and what differs between them.

Whatever depends on a version is here, with its source. Where a page, a table or an answer shows by
itself which of two forms it has, the code takes the form that it finds, by the names below, and
asks for no version: that works without a token, too. What Debian's packages of two versions differ
in concerns the substitute base alone (image/bases/matomo/undebian).

This module imports nothing of the package: the settings take the list of versions from here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from packaging.version import InvalidVersion, Version

# -- which are supported --------------------------------------------------------------------------

OLDEST: Final = Version("5.3")
"""The first version that is supported: the oldest that the tests have run on is 5.3.1."""
BEYOND: Final = Version("7")
"""The first version that is no longer supported. Of 6 only the public change log was read; no
test has run on it, as there is no image of it yet."""
OLDEST_TABLES: Final = Version("5")
"""Tables of older versions are refused: their update to today's code is one that no test has seen.
Those of 5.0 up to `OLDEST` wait for core:update."""
RANGE: Final = f"{OLDEST} up to, not including, {BEYOND}"
"""The supported versions, as an error names them."""
OF_LONG_AGO: Final = "5.0.0"
"""Older than every supported version: mutants and tests bring it back, but nobody runs it now."""
PLUGIN_REQUIREMENT: Final = f">={OLDEST}.0,<{BEYOND}.0.0-b1"
"""Every supported version, as the plugin.json of a plugin that the harness makes asks for it."""


def number(text: str) -> Version:
    """Return the version that `text` names; for a beta or a candidate, the version that it becomes.

    What comes with 5.7.0 is in 5.7.0-rc1 and -b3 already. A package's suffix (+dfsg-1) is left out.

    Args:
        text: as Matomo's core/Version.php has it.

    Raises:
        InvalidVersion: `text` is no version.
    """
    return Version(Version(text).base_version)


def is_supported(text: str) -> bool:
    """Whether `text` names a supported version; a text that is no version does not."""
    try:
        return OLDEST <= number(text) < BEYOND
    except InvalidVersion:
        return False


def has_supported_tables(text: str) -> bool:
    """Whether tables of version `text` (option version_core) may be taken up by a newer code."""
    try:
        return number(text) >= OLDEST_TABLES
    except InvalidVersion:
        return False


# -- which the tests run on -----------------------------------------------------------------------


@dataclass(frozen=True)
class TestedVersion:
    """A version of Matomo whose image the harness builds, and that its tests run on.

    Args:
        name: what MATOMO_VERSION, the tests' ids and the substitute base's tag call it: a number,
            which its code must have, or a word for whatever is the newest.
        official_image: its image in the registry.
        debian_suite: code name of the suite whose Matomo packages make the substitute base; empty
            for the release's own, on which that base is built.
        is_optional: its tests are skipped where its base cannot be had, which is no fault of the
            change under test.
    """

    name: str
    official_image: str
    debian_suite: str = ""
    is_optional: bool = False

    @property
    def build_arguments(self) -> dict[str, str]:
        """The build arguments for the substitute base's Dockerfile."""
        return {"MATOMO_VERSION": self.name, "MATOMO_SUITE": self.debian_suite}


TESTED: Final[Mapping[str, TestedVersion]] = {
    tested.name: tested
    for tested in (
        TestedVersion("5.3.1", "matomo:5.3.1-apache"),
        # Debian's unstable moves: any day its packages may cease to build on the release.
        TestedVersion("next", "matomo:apache", debian_suite="sid", is_optional=True),
    )
}
"""The versions by name; the first serves where no version makes a difference. One more version is
one more entry. `next` is whatever Debian's unstable carries today, or the newest official image."""
NAMES: Final = tuple(TESTED)


# -- what differs ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class VersionDifference:
    """What Matomo does differently from some version on, where that matters to the harness.

    Args:
        since: the first version that is known to do so.
        what: what it does from then on, and what it did before.
        source: how that is known.
    """

    since: Version
    what: str
    source: str

    def is_in(self, version: str) -> bool:
        """Whether Matomo `version` is one that does so.

        Raises:
            InvalidVersion: `version` is no version.
        """
        return number(version) >= self.since


SEEN: Final = "The harness's own tests: not on 5.3.1, on 5.8.0 (no version between was tested)."
CHANGE_LOG_OF_6: Final = "Matomo's CHANGELOG.md, 6.0.0; not seen yet."

# -- proxies

PROXY_SCHEME_HEADERS: Final = VersionDifference(
    Version("5.7"),
    "A proxy's scheme is believed only by a header that proxy_scheme_headers[] of [General] lists;"
    " without one, force_ssl redirects for ever. Before, X-Forwarded-Proto is believed whatever the"
    " list says.",
    "Matomo's CHANGELOG.md, 5.7.0; core/Updates/5.7.0-b3.php, which writes the list of three.",
)

# -- users

LAST_SEEN_COLUMN: Final = "ts_last_seen"
"""A column of the table user."""
LAST_SEEN_OPTION: Final = "UsersManager.lastSeen."
"""The beginning of an option's name; the login follows."""
LAST_SEEN_IN_A_COLUMN: Final = VersionDifference(
    Version("5.4"),
    f"When a user was last seen is in {LAST_SEEN_COLUMN} of the table user; before, in an option"
    f" {LAST_SEEN_OPTION}….",
    "core/Updates/5.4.0-b4.php; plugins/UsersManager/LastSeenTimeLogger.php.",
)
RESET_WAS_ASKED_FOR: Final = "Open the confirmation link|you will receive an email to confirm"
"""What the page for a lost password says once a mail is sent, before and since the next difference;
a regular expression."""
RESET_TELLS_OF_NO_ACCOUNT: Final = VersionDifference(
    Version("5.8"),
    "The page for a lost password no longer reveals whether there is such an account.",
    SEEN,
)

# -- masking

MASK_ENABLED_ATTRIBUTES: Final = ("anonymize-ip-enabled", "ip-anonymizer-enabled")
"""Attributes of the component of Anonymize data, before MASK_NAMES_OF_THE_OPTIONS and since."""
MASK_LENGTH_ATTRIBUTES: Final = ("mask-length", "ip-address-mask-length")
MASK_LENGTH_PARAMETERS: Final = ("maskLength", "ipAddressMaskLength")
"""Parameters of PrivacyManager.setAnonymizeIpSettings, likewise."""
MASK_NAMES_OF_THE_OPTIONS: Final = VersionDifference(
    Version("5.8"),
    "Page and API name the mask as its options do: ip-anonymizer-enabled, ipAddressMaskLength.",
    f"{SEEN} plugins/PrivacyManager/API.php.",
)
PRIVACY_SETTINGS_OF_A_SITE: Final = VersionDifference(
    Version("5.6"),
    "Each site may have privacy settings of its own (idSiteSpecific, useSiteSpecificSettings).",
    "plugins/PrivacyManager/API.php; the plugin ActivityLog asks for 5.6.0-alpha before it reads"
    " these parameters.",
)
MORE_PRIVACY_OPTIONS: Final = VersionDifference(
    Version("5.8"),
    "A save of Anonymize data writes four more options, with Matomo's defaults:"
    " PrivacyManager.anonymizeUserId, .anonymizeOrderId, .forceCookielessTracking and"
    " .randomizeConfigId. image/policy.toml lists them, as they are no drift.",
    SEEN,
)

# -- the API

ANYBODY_ASKS_LITTLE_AT_ONCE: Final = VersionDifference(
    Version("5.8"),
    "API.getBulkRequest takes at most ten requests from a caller without access; before, any number"
    " (accounts.AT_ONCE is for both).",
    "Matomo's CHANGELOG.md, 5.8.0; API::getBulkRequestLimit.",
)

# -- archiving and reports

PROCESS_WITHOUT_VISITS: Final = VersionDifference(
    Version("5.8"),
    "The archiver starts a process of its own for a day without visits, too; before, it did not.",
    SEEN,
)
EXPORT_IS_FLAT: Final = VersionDifference(
    Version("5.8"),
    "An exported report of pages has whole addresses unless directories are asked for; before, it"
    " has directories as the page does.",
    SEEN,
)

# -- pages in a browser

PLUGINS_PAGE_LEAVES_THE_MARKETPLACE: Final = VersionDifference(
    Version("5.8"),
    "The plugins page does not ask the Marketplace plugin where it is not active; before, it does,"
    " and gets a 500.",
    SEEN,
)
SETUP_HAS_ITS_SCRIPT: Final = VersionDifference(
    Version("5.8"),
    "The setup of a second factor has no page error (updateTextFields); it works before, too.",
    SEEN,
)

# -- defaults

DEFAULTS_READ: Final = (Version("5.3.1"), Version("5.10.0"))
"""The first and the last version whose config/global.ini.php the safeguards of the gate
(settings.no_safeguard_is_off) were compared with."""

# -- what 6 brings

SEO_IS_GONE: Final = VersionDifference(
    Version("6"),
    "There is no plugin SEO: the build of an image whose [Plugins] lists it fails.",
    CHANGE_LOG_OF_6,
)
SPAM_PREVENTION_IS_BUNDLED: Final = VersionDifference(
    Version("6"),
    "TrackingSpamPrevention is one of Matomo's own plugins, and an update activates it.",
    CHANGE_LOG_OF_6,
)
SETTINGS_METHOD_IS_GONE: Final = VersionDifference(
    Version("6"),
    "There is no API.getSettings: the checks of headers that call it get an error, which is an"
    " answer of the API as well. Nor is there Transitions.getTranslations.",
    CHANGE_LOG_OF_6,
)
PROXY_HOST_MUST_BE_TRUSTED: Final = VersionDifference(
    Version("6"),
    "With proxy_host_headers[] the host that a proxy names must be in trusted_hosts[], or a warning"
    " takes the login form's place.",
    CHANGE_LOG_OF_6,
)
PAGES_ARE_ARCHIVED_FLAT: Final = VersionDifference(
    Version("6"),
    "datatable_archiving_maximum_rows_actions_flat (10000; an update from 5 writes 0) limits the"
    " rows of pages and titles, and datatable_archiving_maximum_rows_actions does not.",
    f"{CHANGE_LOG_OF_6} The key is there since 5.12.0.",
)
PAGE_VIEW_TIMES: Final = VersionDifference(
    Version("6"),
    "There is one more log table, log_page_view_time, by idvisit and idlink_va.",
    CHANGE_LOG_OF_6,
)
PERCENTAGES_ARE_EXPORTED: Final = VersionDifference(
    Version("6"),
    "Exported reports have a column {metric}_percent_of_total for each metric: whoever reads"
    " columns by their position reads others.",
    CHANGE_LOG_OF_6,
)


# -- by whichever name ----------------------------------------------------------------------------


def by_any_name(found: Mapping[str, Any], names: Iterable[str]) -> Any:
    """Return the value that `found` has for the first of `names` in it; None where none is."""
    return next((found[name] for name in names if name in found), None)


def mask_length(masked_bytes: int) -> dict[str, int]:
    """Return the parameters that set the mask's length; Matomo ignores another version's name.

    Args:
        masked_bytes: how many bytes of an IPv4 address are zeroed.
    """
    return dict.fromkeys(MASK_LENGTH_PARAMETERS, masked_bytes)
