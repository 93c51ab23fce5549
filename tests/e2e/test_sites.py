"""A site as a superuser adds it, and the code to track it with."""

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from matomo_harness.pytest_plugin import MatomoByTls
from tests.e2e.pages import admin
from tests.e2e.pages.sites import Sites
from tests.e2e.sessions import take_session


@pytest.fixture
def with_clipboard(new_context: Callable[..., BrowserContext], matomo_by_tls: MatomoByTls) -> Page:
    """A page of the superuser, in a browser that lets a page read its clipboard."""
    context = new_context(permissions=["clipboard-read", "clipboard-write"])
    take_session(context, matomo_by_tls.instance)
    return context.new_page()


@pytest.mark.all_versions(reason="the page is the version's")
def test_a_site_is_added_and_its_tracking_code_copied(
    with_clipboard: Page, matomo_by_tls: MatomoByTls
) -> None:
    page, instance = with_clipboard, matomo_by_tls.instance
    sites = Sites(page)
    sites.open()
    sites.add("Library", "https://library.example")
    expect(sites.site("Library")).to_contain_text("Id: 2")
    made = instance.api.call("SitesManager.getSiteFromId", idSite=2)
    assert (made["name"], made["main_url"]) == ("Library", "https://library.example")

    code = sites.tracking_code("Library")
    expect(code.code).to_contain_text(f'var u="{instance.url}/"')
    expect(code.code).to_contain_text("['setSiteId', '2']")
    assert code.copy().split() == code.code.inner_text().split()


def test_the_tag_manager_opens_where_the_image_has_it(
    superuser: Page, matomo_by_tls: MatomoByTls
) -> None:
    active = matomo_by_tls.instance.api.call("API.isPluginActivated", pluginName="TagManager")
    if not active["value"]:
        pytest.skip("this image has no TagManager")
    admin.open_page(superuser, "TagManager", "manageContainers")
    expect(superuser.get_by_role("heading", name="Containers").first).to_be_visible()
