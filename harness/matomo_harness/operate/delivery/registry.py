"""Speak with a registry by its HTTP API (OCI distribution-spec 1.1): what skopeo cannot do."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urljoin

import requests

from matomo_harness.errors import HarnessError, UnsupportedEnvironmentError, WrongInputError
from matomo_harness.operate.delivery.login import Login

MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
INDEX: Final = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
ELSEWHERE: Final = MappingProxyType({"docker.io": "registry-1.docker.io"})
"""Hosts that references and logins name, and what answers for them."""
SECONDS: Final = 30
"""How long a registry may be silent."""
EMPTY: Final = b"{}"
"""The configuration of what is no image, as the specification has it."""
TAKEN: Final = ("TAG_INVALID", "ImageTagAlreadyExists", "immutable", "cannot be overwritten")
"""What registries say of a tag that they give to no second image."""


class TagTakenError(WrongInputError):
    """The registry gives a tag to one image only, and another has it."""


def digest_of(content: bytes) -> str:
    """Return the digest of a blob or a manifest."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def short(digest: str) -> str:
    """Return a digest for people to read."""
    return digest.removeprefix("sha256:")[:12]


@dataclass(frozen=True)
class Manifest:
    """What a registry has under a tag or a digest.

    Args:
        media_type: of the content.
        content: as it was pushed; the digest is of these bytes.
    """

    media_type: str
    content: bytes = field(repr=False)

    @property
    def digest(self) -> str:
        """The digest by which it is named."""
        return digest_of(self.content)

    @property
    def document(self) -> dict[str, Any]:
        """The content, parsed."""
        parsed: dict[str, Any] = json.loads(self.content)
        return parsed

    @property
    def config(self) -> str:
        """The digest of the image's configuration, which an engine calls the image's id."""
        return str(self.document.get("config", {}).get("digest", ""))

    @property
    def descriptor(self) -> dict[str, Any]:
        """The way in which other manifests name this one."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.content)}


class Registry:
    """A repository in a registry.

    Args:
        host: host and port of the registry.
        repository: name of the repository.
        login: who logs in.
        authority: file of the authority that signed the registry's certificate; None trusts those
            that the machine trusts.
    """

    def __init__(
        self, host: str, repository: str, login: Login | None, authority: str | None = None
    ) -> None:
        self.host, self.repository, self.login, self.authority = host, repository, login, authority
        self._session = requests.Session()
        self._bearer = ""

    @property
    def name(self) -> str:
        """Registry and repository."""
        return f"{self.host}/{self.repository}"

    def by_digest(self, digest: str) -> str:
        """Return the reference of an image that no tag can change."""
        return f"{self.name}@{digest}"

    # -- manifests --------------------------------------------------------------------------------

    def manifest(self, reference: str) -> Manifest | None:
        """Return the manifest under a tag or a digest; None where there is none.

        Raises:
            HarnessError: the login is refused, the registry silent, or the content another one.
        """
        accepted = ", ".join((MANIFEST, DOCKER_MANIFEST, INDEX, DOCKER_LIST))
        answer = self._ask("GET", f"manifests/{reference}", headers={"Accept": accepted})
        if answer.status_code == requests.codes.not_found:
            return None
        self._require_ok(answer)
        found = Manifest(answer.headers.get("Content-Type", MANIFEST), answer.content)
        if DIGEST.fullmatch(reference) and found.digest != reference:
            raise self._other_content(reference, found.digest)
        return found

    def put_manifest(self, reference: str, manifest: Manifest) -> bool:
        """Store a manifest; return whether the registry lists it among its subject's referrers.

        Raises:
            TagTakenError: the tag is another image's, and tags are immutable here.
            HarnessError: the registry refuses it.
        """
        answer = self._ask(
            "PUT",
            f"manifests/{reference}",
            headers={"Content-Type": manifest.media_type},
            data=manifest.content,
        )
        if answer.status_code >= 400 and any(word in answer.text for word in TAKEN):
            raise TagTakenError(
                expected=f"the tag {reference} of {self.name} to be free",
                seen=f"another image has it, and tags are immutable there ({_words(answer)})",
                next_command=f"skopeo inspect docker://{self.name}:{reference}",
            )
        self._require_ok(answer)
        return "OCI-Subject" in answer.headers

    def tags(self) -> list[str]:
        """Return all tags."""
        tags: list[str] = []
        path = "tags/list?n=1000"
        while path:
            answer = self._ask("GET", path)
            if answer.status_code == requests.codes.not_found:  # nothing was ever pushed
                return tags
            self._require_ok(answer)
            tags += answer.json().get("tags") or []
            path = answer.links.get("next", {}).get("url", "")
        return tags

    # -- blobs ------------------------------------------------------------------------------------

    def blob(self, digest: str) -> bytes:
        """Return a blob.

        Raises:
            HarnessError: it is not there, or its content is another one.
        """
        answer = self._ask("GET", f"blobs/{digest}")
        self._require_ok(answer)
        if (seen := digest_of(answer.content)) != digest:
            raise self._other_content(digest, seen)
        return answer.content

    def put_blob(self, content: bytes) -> str:
        """Store a blob, unless it is there; return its digest."""
        digest = digest_of(content)
        if self._ask("HEAD", f"blobs/{digest}").status_code == requests.codes.ok:
            return digest
        begun = self._ask("POST", "blobs/uploads/")
        self._require_ok(begun)
        place = urljoin(begun.url, begun.headers["Location"])
        joint = "&" if "?" in place else "?"
        answer = self._ask(
            "PUT",
            f"{place}{joint}digest={digest}",
            headers={"Content-Type": "application/octet-stream"},
            data=content,
        )
        self._require_ok(answer)
        return digest

    # -- what lies beside an image ----------------------------------------------------------------

    def attach(self, subject: Manifest, kind: str, parts: Sequence[tuple[str, str, bytes]]) -> str:
        """Store something beside an image, as its referrer; return the digest of its manifest.

        Args:
            subject: the image's manifest.
            kind: the type of what is stored.
            parts: name, media type and content of each file.
        """
        layers = [
            {
                "mediaType": media_type,
                "digest": self.put_blob(content),
                "size": len(content),
                "annotations": {"org.opencontainers.image.title": name},
            }
            for name, media_type, content in parts
        ]
        config = {"mediaType": "application/vnd.oci.empty.v1+json", "size": len(EMPTY)}
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": kind,
            "config": config | {"digest": self.put_blob(EMPTY)},
            "layers": layers,
            "subject": subject.descriptor,
        }
        artifact = Manifest(MANIFEST, json.dumps(document, sort_keys=True).encode())
        if not self.put_manifest(artifact.digest, artifact):
            self._list_by_tag(subject, kind, artifact)
        return artifact.digest

    def _list_by_tag(self, subject: Manifest, kind: str, artifact: Manifest) -> None:
        """List a referrer under the tag that a registry without the API has for its subject.

        Raises:
            UnsupportedEnvironmentError: the registry knows no such tag.
        """
        tag = fallback_tag(subject.digest)
        listed = self._listed_by_tag(subject.digest)
        entry = artifact.descriptor | {"artifactType": kind}
        if any(other["digest"] == artifact.digest for other in listed):
            return
        document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [*listed, entry]}
        self.put_manifest(tag, Manifest(INDEX, json.dumps(document).encode()))
        if entry not in self._listed_by_tag(subject.digest):
            raise UnsupportedEnvironmentError(
                expected=f"{self.name} to list what lies beside an image: by the referrers of OCI's"
                f" distribution-spec 1.1, or under the tag {tag}",
                seen="it has no referrers, and something else under that tag",
                next_command="ask whoever runs the registry for a version with referrers",
            )

    def attached(self, subject: str, kind: str) -> list[dict[str, bytes]]:
        """Return what is stored beside an image: the files of each, by name.

        Args:
            subject: the image's digest.
            kind: the type of what was stored.
        """
        found = []
        for entry in self._referrers(subject):
            manifest = self.manifest(entry["digest"])
            # A list may leave the type out, or name what is no more there.
            if manifest and manifest.document.get("artifactType") == kind:
                found.append(
                    {
                        layer["annotations"]["org.opencontainers.image.title"]: self.blob(
                            layer["digest"]
                        )
                        for layer in manifest.document["layers"]
                    }
                )
        return found

    def _referrers(self, subject: str) -> list[dict[str, Any]]:
        answer = self._ask("GET", f"referrers/{subject}", headers={"Accept": INDEX})
        found = _listed_in(answer.content) if answer.status_code == requests.codes.ok else []
        # A registry without the API; or one that got it after the tag was written.
        return found or self._listed_by_tag(subject)

    def _listed_by_tag(self, subject: str) -> list[dict[str, Any]]:
        by_tag = self.manifest(fallback_tag(subject))
        return _listed_in(by_tag.content) if by_tag else []

    # -- asking -----------------------------------------------------------------------------------

    def _ask(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, data: Any = None
    ) -> requests.Response:
        """Send a request; a path that begins otherwise is one of this repository's."""
        start = f"https://{ELSEWHERE.get(self.host, self.host)}"
        url = path if path.startswith("http") else urljoin(start, path)
        if not path.startswith(("http", "/")):
            url = f"{start}/v2/{self.repository}/{path}"
        answer = self._send(method, url, headers or {}, data)
        challenge = answer.headers.get("WWW-Authenticate", "")
        if answer.status_code == requests.codes.unauthorized and challenge.startswith("Bearer "):
            self._bearer = self._token(challenge)
            answer = self._send(method, url, headers or {}, data)
        if answer.status_code in (requests.codes.unauthorized, requests.codes.forbidden):
            raise login_refused(self.name, _words(answer))
        return answer

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], data: Any
    ) -> requests.Response:
        login = self.login
        if self._bearer:
            headers = {**headers, "Authorization": f"Bearer {self._bearer}"}
        elif login:
            headers = {**headers, "Authorization": f"Basic {login.pair}"}
        # Named with each request: REQUESTS_CA_BUNDLE would win over the session's own.
        verify = self.authority or True
        try:
            return self._session.request(
                method, url, headers=headers, data=data, timeout=SECONDS, verify=verify
            )
        except requests.exceptions.SSLError as error:
            raise UnsupportedEnvironmentError(
                expected=f"a certificate of {self.host} that this machine trusts",
                seen=_last(error),
                next_command="name its authority's file as `authority` of the stage in"
                " delivery.toml",
            ) from error
        except requests.RequestException as error:
            raise UnsupportedEnvironmentError(
                expected=f"the registry {self.host} to answer",
                seen=_last(error),
                next_command="the same command again, once it does: what has arrived stays",
            ) from error

    def _token(self, challenge: str) -> str:
        """Get a token from where a registry sends one (distribution's token authentication)."""
        asked = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        realm = asked.pop("realm", "")
        basic = (self.login.user, self.login.password) if self.login else None
        verify = self.authority or True
        try:
            answer = self._session.get(
                realm, params=asked, auth=basic, timeout=SECONDS, verify=verify
            )
            answer.raise_for_status()
            given = answer.json()
        except (requests.RequestException, ValueError) as error:
            raise login_refused(self.name, _last(error)) from error
        return str(given.get("token") or given.get("access_token") or "")

    def _require_ok(self, answer: requests.Response) -> None:
        if answer.ok:
            return
        if "NAME_UNKNOWN" in answer.text:
            raise no_repository(self.name)
        raise UnsupportedEnvironmentError(
            expected=f"{self.name} to take {answer.request.method} {answer.request.path_url}",
            seen=f"HTTP {answer.status_code}: {_words(answer)}",
            next_command="the same command again",
        )

    def _other_content(self, asked: str, seen: str) -> HarnessError:
        return UnsupportedEnvironmentError(
            expected=f"{self.name} to give {asked}",
            seen=f"content with the digest {seen}",
            next_command="find out what stands between here and the registry",
        )


def _listed_in(content: bytes) -> list[dict[str, Any]]:
    """Return what an index lists; nothing where it is none.

    GitHub's registry leads to a web page where it should list referrers, and GitLab's takes the
    tag that lists them for the digest of the image itself.
    """
    try:
        document = json.loads(content)
    except ValueError:
        return []
    return list(document.get("manifests") or []) if isinstance(document, dict) else []


def fallback_tag(subject: str) -> str:
    """Return the tag under which a registry without the API lists what refers to `subject`."""
    return subject.replace(":", "-")


def login_refused(name: str, seen: str) -> WrongInputError:
    """Return the error for a registry that does not let one in."""
    return WrongInputError(
        expected=f"{name} to take the login",
        seen=f"it refuses: {seen}",
        next_command="see who you are (aws sts get-caller-identity), or docker login",
    )


def no_repository(name: str) -> WrongInputError:
    """Return the error for a repository that does not exist."""
    return WrongInputError(
        expected=f"the repository {name}",
        seen="the registry has none of this name",
        next_command="make it, or correct `repository` in delivery.toml",
    )


def _words(answer: requests.Response) -> str:
    """Return what the registry says of an error."""
    try:
        errors = answer.json()["errors"]
        return "; ".join(f"{error['code']}: {error.get('message', '')}" for error in errors)
    except (ValueError, LookupError, TypeError):
        return (answer.text.strip() or answer.reason or "")[:200]


def _last(error: Exception) -> str:
    return str(error).strip().splitlines()[-1][:300] if str(error).strip() else repr(error)
