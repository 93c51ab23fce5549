"""A front that makes Debian's registry behave as ECR documents its own.

It has what docker-registry lacks: repositories that exist or not, the login of an account,
immutable tags, the referrers of an image (OCI 1.1), and lifecycle rules that keep a number of
images. What exists, and what is immutable, moto says; each image that is pushed is listed there.
"""

import base64
import json
import re
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Self

import requests

from matomo_harness.operate.delivery.login import Login
from matomo_harness.operate.delivery.registry import INDEX, digest_of
from matomo_harness.runtime.certificates import Certificate
from tests.delivery.aws import Aws

PATH: Final = re.compile(r"/v2/(?P<name>.+)/(?P<kind>manifests|blobs|referrers|tags)/(?P<rest>.*)")
CHUNK: Final = 2**16
PASSED_ON: Final = ("accept", "content-type", "content-range", "range")
ANSWERED: Final = ("content-type", "location", "range", "docker-content-digest")


class CutError(Exception):
    """The connection breaks here."""


class Front:
    """A registry as ECR is one, at 127.0.0.1 with TLS, while the context is entered.

    Args:
        backend: address of Debian's registry.
        login: to that.
        certificate: of the front and of the registry.
        aws: what says which repositories there are.
    """

    def __init__(self, backend: str, login: Login, certificate: Certificate, aws: Aws) -> None:
        self._backend, self._login, self._aws = backend, login, aws
        self._certificate = certificate
        self._lock = threading.RLock()
        self._referrers: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
        self.on_request: list[Callable[[str, str], None]] = []
        """Called with method and path before a request is answered; a test may raise CutError."""
        self.cut_after = 0
        """A push breaks off, once, after so many bytes of a blob; 0 lets all through."""
        self.refuses_logins = False
        handler = type("Handler", (_Handler,), {"front": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile() as file:
            file.write(certificate.key + certificate.chain)
            file.flush()
            context.load_cert_chain(file.name)
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def host(self) -> str:
        """Host and port, as references begin with it."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def backend(self) -> str:
        """Debian's registry itself: host and port."""
        return self._backend.removeprefix("https://")

    @property
    def login(self) -> Login:
        """Login to Debian's registry itself."""
        return self._login

    @property
    def authority(self) -> Path:
        """File of the authority that signed its certificate."""
        return self._certificate.authority

    # -- what ECR does ----------------------------------------------------------------------------

    def answer(self, request: "_Handler") -> None:
        """Answer one request."""
        account = self._account(request.headers.get("Authorization", ""))
        path = request.path.partition("?")[0]
        for hook in self.on_request:
            hook(request.command, path)
        found = PATH.fullmatch(path)
        if not account:
            request.drain()
            request.say(401, {"WWW-Authenticate": 'Basic realm="ECR"'}, b"Not Authorized")
        elif path == "/v2/":
            request.say(200, {}, b"{}")
        elif not found or not self._aws.repository(account, found["name"]):
            request.drain()
            name = found["name"] if found else path
            text = f"The repository with name '{name}' does not exist in the registry with id"
            request.error(404, "NAME_UNKNOWN", f"{text} '{account}'")
        elif found["kind"] == "referrers":
            listed = self._referrers.get((account, found["name"], found["rest"]), [])
            document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}
            request.say(200, {"Content-Type": INDEX}, json.dumps(document).encode())
        elif found["kind"] == "manifests" and request.command == "PUT":
            with self._lock:  # of two at once, one comes first
                self._put(request, account, found["name"], found["rest"])
        else:
            if request.command == "POST":  # ECR mounts no blob of another account's repository
                request.path = path
            self._pass_on(request, account, request.body(self._count))

    def _put(self, request: "_Handler", account: str, name: str, reference: str) -> None:
        content = b"".join(request.body())
        digest = digest_of(content)
        is_tag = not reference.startswith("sha256:")
        repository = self._aws.repository(account, name)
        tags = {tag for image in repository.images for tag in image.image_tags}
        if is_tag and repository.image_tag_mutability == "IMMUTABLE" and reference in tags:
            request.error(
                400,
                "TAG_INVALID",
                f"The image tag '{reference}' already exists in the '{name}' repository and cannot"
                " be overwritten because the tag is immutable.",
            )
            return
        headers = {}
        document = json.loads(content)
        if subject := document.get("subject"):
            entry = {
                "mediaType": document["mediaType"],
                "digest": digest,
                "size": len(content),
                "artifactType": document.get("artifactType", ""),
            }
            listed = self._referrers.setdefault((account, name, subject["digest"]), [])
            if entry not in listed:
                listed.append(entry)
            headers["OCI-Subject"] = subject["digest"]
        if self._pass_on(request, account, iter([content]), headers):
            self._aws.list_image(
                account, name, content.decode(), reference if is_tag else None, digest
            )

    def _count(self, size: int) -> None:
        """Break off where a test says so."""
        if self.cut_after and size > self.cut_after:
            self.cut_after = 0
            raise CutError

    def _account(self, authorization: str) -> str:
        scheme, _, pair = authorization.partition(" ")
        if scheme != "Basic" or self.refuses_logins:
            return ""
        user, _, token = base64.b64decode(pair).decode().partition(":")
        account = token.removesuffix("-auth-token")
        return account if user == "AWS" and account != token else ""

    def expire(self, account: str, name: str) -> list[str]:
        """Do what ECR does within a day: remove what no rule keeps; return the digests."""
        gone = self._aws.expired(account, name)
        for digest in gone:
            self._aws.repository(account, name).images[:] = [
                image
                for image in self._aws.repository(account, name).images
                if image.image_digest != digest
            ]
            url = f"{self._backend}/v2/{account}/{name}/manifests/{digest}"
            requests.delete(
                url,
                auth=(self._login.user, self._login.password),
                verify=str(self._certificate.authority),
                timeout=10,
            ).raise_for_status()
        return gone

    # -- what the registry does -------------------------------------------------------------------

    def _pass_on(
        self,
        request: "_Handler",
        account: str,
        body: Iterator[bytes],
        more: dict[str, str] | None = None,
    ) -> bool:
        """Have Debian's registry answer; each account has names of its own there."""
        path = request.path.replace("/v2/", f"/v2/{account}/", 1)
        headers = {
            name: value for name, value in request.headers.items() if name.lower() in PASSED_ON
        }
        has_body = request.command in ("POST", "PUT", "PATCH")
        with requests.request(
            request.command,
            f"{self._backend}{path}",
            headers=headers,
            data=body if has_body else None,
            auth=(self._login.user, self._login.password),
            verify=str(self._certificate.authority),
            stream=True,
            timeout=60,
        ) as answer:
            said = {
                name: value.replace(f"/v2/{account}/", "/v2/", 1)
                for name, value in answer.headers.items()
                if name.lower() in ANSWERED or name.lower().startswith("docker-")
            }
            request.say(
                answer.status_code,
                said | (more or {}),
                answer.raw.stream(CHUNK, decode_content=False),
                answer.headers.get("Content-Length"),
            )
            return answer.ok


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    front: Front

    def answer(self) -> None:
        try:
            self.front.answer(self)
        except (CutError, requests.RequestException, OSError):
            self.close_connection = True
            self.connection.close()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

    def body(self, on_size: Callable[[int], None] = lambda _size: None) -> Iterator[bytes]:
        """Yield what the client sends, as it comes."""
        size = 0
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while length := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(length)
                self.rfile.readline()
                size += length
                on_size(size)
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            chunk = self.rfile.read(min(left, CHUNK))
            if not chunk:
                raise CutError
            left -= len(chunk)
            size += len(chunk)
            yield chunk
            on_size(size)

    def drain(self) -> None:
        """Read a body that nobody wants, so that the next request begins where it should."""
        for _ in self.body():
            pass

    def say(
        self,
        status: int,
        headers: dict[str, str],
        content: bytes | Iterator[bytes],
        length: str | None = None,
    ) -> None:
        """Send an answer."""
        if isinstance(content, bytes):
            length, content = str(len(content)), iter([content])
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        if self.command != "HEAD" and length not in (None, "0"):
            for chunk in content:
                self.wfile.write(chunk)

    def error(self, status: int, code: str, message: str) -> None:
        """Send an error, as registries do."""
        content = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
        self.say(status, {"Content-Type": "application/json"}, content)

    def log_message(self, *_: Any) -> None:
        """Stay silent."""
