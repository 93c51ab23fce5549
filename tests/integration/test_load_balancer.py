"""TLS ends at the load balancer: what it passes on, whom Matomo sees, and the redirect loop."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

import pytest
import requests

from matomo_harness.errors import UnsupportedEnvironmentError
from matomo_harness.matomo import ini, twofactor
from matomo_harness.matomo.web import Page, Web
from matomo_harness.runtime import images
from matomo_harness.runtime.certificates import Authority, authority
from matomo_harness.runtime.containers import HarnessContainer, network
from matomo_harness.runtime.full_stack import ALL_NAMES, FullStack
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.load_balancer import LoadBalancer

FORGED: Final = "203.0.113.7"


# -- what it passes on ----------------------------------------------------------------------------


class Echo(HarnessContainer):
    """Answers every request with the headers that it came with."""

    port = 80


@contextmanager
def before_an_echo(any_image: Image, **variables: str) -> Iterator[LoadBalancer]:
    """Yield a load balancer in front of a target that returns what it gets."""
    page = b"<?php isset($_GET['slow']) && sleep(4); echo json_encode(getallheaders());"
    with network() as own_network, ExitStack() as running:
        echo = Echo(any_image.reference, own_network, "matomo", None, files={"/echo/i.php": page})
        echo.with_kwargs(entrypoint=["php", "-S", "0.0.0.0:80", "/echo/i.php"])
        running.enter_context(echo)
        certificate = authority().issue("localhost")
        balancer = LoadBalancer(own_network, certificate).with_envs(**variables)
        yield running.enter_context(balancer)


@pytest.fixture(scope="module")
def balancer(any_image: Image) -> Iterator[LoadBalancer]:
    """A load balancer in front of a target that returns what it gets."""
    with before_an_echo(any_image) as made:
        yield made


def headers_passed_on(balancer: LoadBalancer, **sent: str) -> dict[str, str]:
    web = balancer.web
    web.session.headers.clear()
    web.session.headers.update({**sent, "Connection": "close"})
    headers: dict[str, str] = json.loads(web.ask("").text)
    # haproxy writes names in lower case.
    return {name.title(): value for name, value in headers.items()}


def test_the_load_balancer_adds_exactly_the_headers_of_aws(balancer: LoadBalancer) -> None:
    headers = headers_passed_on(balancer, **{"User-Agent": "test", "Accept-Encoding": "identity"})
    client = headers.pop("X-Forwarded-For")
    assert len(client.split(".")) == 4
    assert headers == {
        "Host": balancer.url.removeprefix("https://"),
        "User-Agent": "test",
        "Accept-Encoding": "identity",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Port": "443",
    }


def test_a_forwarded_for_of_the_client_comes_first(balancer: LoadBalancer) -> None:
    headers = headers_passed_on(balancer, **{"X-Forwarded-For": f"{FORGED}, 198.51.100.1"})
    seen = headers["X-Forwarded-For"]
    assert seen.split(", ")[:2] == [FORGED, "198.51.100.1"]
    assert len(seen.split(", ")) == 3


def test_scheme_and_port_of_the_client_are_replaced(balancer: LoadBalancer) -> None:
    headers = headers_passed_on(balancer, **{"X-Forwarded-Proto": "http", "X-Forwarded-Port": "80"})
    assert (headers["X-Forwarded-Proto"], headers["X-Forwarded-Port"]) == ("https", "443")


def test_clear_text_is_redirected_to_tls(balancer: LoadBalancer) -> None:
    answer = balancer.http.ask("index.php?module=Login")
    assert answer.status_code == 301
    assert answer.headers["Location"] == "https://localhost:443/index.php?module=Login"


def test_a_client_with_another_authority_does_not_connect(
    balancer: LoadBalancer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stranger = Authority(tmp_path_factory.mktemp("tls") / "stranger.pem")
    with pytest.raises(UnsupportedEnvironmentError):
        Web(balancer.url, authority=stranger.file).ask("")


def test_a_slow_target_is_a_504(any_image: Image) -> None:
    # Of its own: on a busy machine, other answers take as long.
    with before_an_echo(any_image, IDLE_SECONDS="2") as impatient:
        assert impatient.web.ask("?slow=1").status_code == requests.codes.gateway_timeout


def test_a_missing_target_is_a_502() -> None:
    certificate = authority().issue("localhost")
    with network() as own_network, LoadBalancer(own_network, certificate) as balancer:
        assert balancer.web.ask("").status_code == requests.codes.bad_gateway


# -- Matomo behind it -----------------------------------------------------------------------------


@pytest.mark.all_versions(reason="redirects and cookies are Matomo's")
def test_login_takes_two_redirects_at_most_and_its_cookie_is_secure(
    stack: FullStack,
) -> None:
    web = stack.instance.web
    page = web.get()
    assert len(page.history) <= 2
    assert "form_login" in page.text
    twofactor.sign_in(web, stack.instance.account)
    cookies = {cookie.name: cookie.secure for cookie in web.session.cookies}
    assert cookies["MATOMO_SESSID"]
    assert all(cookies.values()), cookies


@pytest.mark.all_versions(reason="the pages are Matomo's")
def test_no_page_links_to_clear_text(stack: FullStack) -> None:
    host = stack.load_balancer.url.removeprefix("https://")
    assert f"http://{host}" not in Page(stack.instance.web.get()).response.text


def remove_scheme_headers(stack: FullStack) -> str:
    shell = stack.matomo.shell
    healthy = shell.read(shell.config)
    shell.write(shell.config, ini.without_key(healthy, "General", "proxy_scheme_headers[]"))
    return healthy


@pytest.mark.all_versions(reason="the loop is Matomo's")
def test_the_redirect_loop_of_5_7_is_named(stack: FullStack, matomo_image: Image) -> None:
    version = tuple(map(int, images.code_version(matomo_image.reference).split(".")[:2]))
    shell = stack.matomo.shell
    healthy = remove_scheme_headers(stack)
    try:
        if version < (5, 7):  # every scheme header is believed
            assert stack.instance.web.get().status_code == requests.codes.ok
            assert shell.health() is None
            return
        with pytest.raises(UnsupportedEnvironmentError, match="redirects"):
            stack.instance.web.get()
        reason = shell.health()
        assert reason
        assert "a loop for everybody; see proxy_scheme_headers" in reason
    finally:
        shell.write(shell.config, healthy)
    assert shell.health() is None


# -- whom Matomo sees -----------------------------------------------------------------------------


@dataclass(frozen=True)
class ClientPath:
    """How a hit comes to Matomo, and whose address is stored.

    Args:
        proxies: how many are between the visitor and Matomo.
        forged: an X-Forwarded-For that the visitor sends.
        stored: `visitor`, `forged`, or `outer proxy`.
    """

    proxies: int
    forged: str | None
    stored: str

    def __str__(self) -> str:
        forged = "forged header" if self.forged else "no header"
        return f"{self.proxies} proxies, {forged}: {self.stored}"


CLIENT_PATHS: Final = (
    ClientPath(0, None, "visitor"),
    # Who reaches the task past the load balancer is believed: nobody else can reach its port.
    ClientPath(0, FORGED, "forged"),
    ClientPath(1, None, "visitor"),
    ClientPath(1, FORGED, "visitor"),
    ClientPath(1, f"{FORGED}, 198.51.100.1", "visitor"),
    # Matomo takes the last entry: a CDN in front hides every visitor behind its own address.
    ClientPath(2, None, "outer proxy"),
    ClientPath(2, FORGED, "outer proxy"),
)


@pytest.fixture(scope="session")
def outer(stack: FullStack) -> Iterator[LoadBalancer]:
    """A second proxy, in front of the first."""
    with LoadBalancer(
        stack.network,
        authority().issue(*ALL_NAMES),
        target="load-balancer:443",
        target_tls=True,
        alias="outer",
    ) as started:
        yield started


@pytest.fixture
def unmasked(stack: FullStack) -> Iterator[None]:
    """Store whole addresses, which distinguish the paths of a hit."""
    mask(stack, on=0)
    yield
    mask(stack, on=1)


def mask(stack: FullStack, *, on: int) -> None:
    stack.instance.api.call(
        "PrivacyManager.setAnonymizeIpSettings",
        anonymizeIPEnable=on,
        maskLength=2,
        ipAddressMaskLength=2,
        useAnonymizedIpForVisitEnrichment=1,
    )


@pytest.mark.usefixtures("unmasked")
@pytest.mark.all_versions(reason="Matomo reads the headers")
def test_each_path_stores_the_expected_address(
    stack: FullStack, outer: LoadBalancer, figure: Callable[[str], None]
) -> None:
    addresses = addresses_of(outer)
    seen = {}
    for number, path in enumerate(CLIENT_PATHS):
        entrances = (stack.matomo.web, stack.load_balancer.web, outer.web)
        web = entrances[path.proxies]
        # Another browser each time: Matomo makes a new visit for it.
        web.session.headers["User-Agent"] = f"Mozilla/5.0 (X11; Linux) Firefox/{100 + number}.0"
        if path.forged:
            web.session.headers["X-Forwarded-For"] = path.forged
        scheme = {} if path.proxies else {"X-Forwarded-Proto": "https"}
        web.session.headers.update(scheme)
        assert web.ask("matomo.php?idsite=1&rec=1&url=https://discovery.example/").ok
        seen[path] = stored_address(stack)
    table = [f"{path}, seen {addresses.get(seen[path], seen[path])}" for path in CLIENT_PATHS]
    figure("; ".join(table))
    assert [addresses.get(address) for address in seen.values()] == [
        path.stored for path in CLIENT_PATHS
    ], table


def addresses_of(outer: LoadBalancer) -> dict[str, str]:
    """Return who has which address in the network."""
    container = outer.get_wrapped_container()
    container.reload()
    (joined,) = container.attrs["NetworkSettings"]["Networks"].values()
    # This machine comes in by the network's gateway.
    return {joined["Gateway"]: "visitor", joined["IPAddress"]: "outer proxy", FORGED: "forged"}


def stored_address(stack: FullStack) -> str:
    (row,) = stack.instance.database.query(
        "SELECT INET6_NTOA(location_ip) AS address FROM {prefix}log_visit"
        " ORDER BY idvisit DESC LIMIT 1"
    )
    return str(row["address"])
