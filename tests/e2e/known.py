"""What Matomo's own pages are known to complain of, as markers of the tests that see it."""

from typing import Final

import pytest

from matomo_harness.matomo import versions

NO_MARKETPLACE: Final = (
    f"before {versions.PLUGINS_PAGE_LEAVES_THE_MARKETPLACE.since} the plugins page asks the"
    " Marketplace plugin, which is not active"
)

setup_page: Final = pytest.mark.browser_error(
    "reading 'updateTextFields'",
    reason="the setup of a second factor comes without Materialize's script",
)
plugins_page: Final = pytest.mark.browser_error(
    r"^500 \S+ \S+module=Marketplace|^page error: .*Object",
    reason=NO_MARKETPLACE,
)
plugins_page_log: Final = pytest.mark.matomo_log("Marketplace", reason=NO_MARKETPLACE)
login_asked_for: Final = pytest.mark.browser_error(
    r"^(401|403) ", reason="whoever is not logged in is shown the login with this status"
)
left_behind: Final = pytest.mark.browser_error(
    "^log: Warning: the module=API.* request failed!|^page error: No plot target specified",
    reason="a page that is left complains of the requests and graphs that it had begun",
)
