"""What may be fetched, and what caches may store."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from requests import Request

from matomo_harness.gate.promises.exposure.checks import no_dump_is_open, pages_stay_out_of_caches
from matomo_harness.matomo.image import OFFICIAL

SITE = "https://analytics.example"


def test_a_dump_is_asked_for_by_its_whole_name() -> None:
    asked: list[str] = []

    def ask(path: str) -> Any:
        asked.append(Request("GET", f"{SITE}/{path}").prepare().path_url)
        return SimpleNamespace(status_code=404)

    root: Any = SimpleNamespace(files=[], unknown=["dump #2.sql"])
    profile = replace(OFFICIAL, code=OFFICIAL.web_root)
    own: Any = SimpleNamespace(run=lambda *_: "./dump #2.sql\n", profile=profile)
    http: Any = SimpleNamespace(web=SimpleNamespace(ask=ask))
    assert no_dump_is_open(own, root, http).passed
    assert asked == ["/dump%20%232.sql"]


@pytest.mark.parametrize(
    ("header", "passed"), [("no-store", True), ("s-maxage=600", False), ("max-age=60", False)]
)
def test_a_cache_on_the_way_has_a_word_of_its_own(header: str, passed: bool) -> None:
    answer = SimpleNamespace(headers={"Cache-Control": header})
    public: Any = SimpleNamespace(login_page=answer)
    http: Any = SimpleNamespace(web=SimpleNamespace(get=lambda _: answer))
    assert pages_stay_out_of_caches(public, http).passed is passed
