"""Registries keep to OCI's distribution-spec in part; what each of them answers is understood."""

import json
from typing import Any

import pytest
import requests

from matomo_harness.errors import UnsupportedEnvironmentError
from matomo_harness.operate.delivery.registry import MANIFEST, Manifest, Registry, digest_of

CONFIG = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(b"{}")}
IMAGE = Manifest(MANIFEST, json.dumps({"schemaVersion": 2, "config": CONFIG}).encode())
KIND = "application/vnd.example"
FILES = (("a.json", "application/json", b"{}"),)


class Answers:
    """What a registry without referrers answers.

    Args:
        status: of its answer to who asks for referrers.
        text: of that answer.
        takes_tags_for_digests: whether a tag `sha256-...` is the image of that digest.
    """

    def __init__(self, status: int, text: str = "", *, takes_tags_for_digests: bool = False):
        self._referrers = (status, text.encode())
        self._takes_tags_for_digests = takes_tags_for_digests
        self._kept: dict[str, tuple[str, bytes]] = {}

    def request(self, method: str, url: str, **given: Any) -> requests.Response:
        """Answer, as `requests.Session` does."""
        path, data = url.partition("/v2/m/")[2], given.get("data") or b""
        kind, _, name = path.partition("/")
        if self._takes_tags_for_digests:
            name = name.replace("sha256-", "sha256:")
        if kind == "referrers":
            return answer(*self._referrers)
        if method == "POST":
            return answer(202, headers={"Location": "/v2/m/blobs/uploads/1"})
        if method == "PUT":
            name = digest_of(data) if kind == "blobs" else name
            if not name.startswith("sha256:") or name == digest_of(data):
                self._kept[name] = (given["headers"]["Content-Type"], data)
            return answer(201)
        if name not in self._kept:
            return answer(404)
        content_type, content = self._kept[name]
        return answer(200, content, {"Content-Type": content_type})


def answer(
    status: int, content: bytes = b"", headers: dict[str, str] | None = None
) -> requests.Response:
    """Return an answer of a web server."""
    made = requests.Response()
    made.status_code, made._content = status, content
    made.headers.update(headers or {})
    made.url = "https://registry.example/v2/m/"
    return made


def registry_with(answers: Answers) -> Registry:
    """Return a repository that has the image."""
    registry = Registry("registry.example", "m", None)
    registry._session = answers  # type: ignore[assignment]
    registry.put_manifest(IMAGE.digest, IMAGE)
    return registry


@pytest.mark.parametrize(
    ("status", "text"),
    [(404, ""), (406, ""), (200, "<!DOCTYPE html><title>Sign in</title>"), (200, "[]")],
    ids=["none", "not acceptable", "a web page", "a list"],
)
def test_a_registry_that_has_no_referrers_gets_a_tag(status: int, text: str) -> None:
    registry = registry_with(Answers(status, text))
    registry.attach(IMAGE, KIND, FILES)
    assert registry.attached(IMAGE.digest, KIND) == [{"a.json": b"{}"}]


def test_a_registry_that_takes_the_tag_for_a_digest_is_refused_by_name() -> None:
    registry = registry_with(Answers(404, takes_tags_for_digests=True))
    assert registry.attached(IMAGE.digest, KIND) == []
    with pytest.raises(UnsupportedEnvironmentError, match="referrers"):
        registry.attach(IMAGE, KIND, FILES)
