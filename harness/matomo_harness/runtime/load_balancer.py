"""The load balancer of a test: an emulated Application Load Balancer (services/load-balancer)."""

from typing import Final

from testcontainers.core.network import Network

from matomo_harness.matomo.web import Web
from matomo_harness.runtime import description, images
from matomo_harness.runtime.certificates import Certificate
from matomo_harness.runtime.containers import HarnessContainer
from matomo_harness.runtime.reaper import Run
from matomo_harness.runtime.shell import AnswerWaitStrategy

TO_TLS: Final = "ssl verify none"
"""haproxy's options for a target that terminates TLS itself."""
HTTPS: Final = 443
HTTP: Final = 80
CERTIFICATE_FILE: Final = "/etc/load-balancer/certificate.pem"


def haproxy_certificate(certificate: Certificate) -> bytes:
    """Return `certificate` as haproxy reads it: key and chain in one file."""
    return certificate.key + certificate.chain


class LoadBalancer(HarnessContainer):
    """Terminates TLS and forwards by plain HTTP with AWS's headers; ready when entered.

    Args:
        network: the network that its target is in.
        certificate: the certificate that browsers see, for `localhost`.
        target: host and port of the task; those of the description by default.
        target_tls: whether the target terminates TLS itself, as some images do and a load
            balancer behind a CDN; the target's certificate is not checked.
        alias: its own name in the network.
        run: the run that owns the container; this process's own by default.
    """

    port = HTTPS
    more_ports = (HTTP,)

    def __init__(
        self,
        network: Network,
        certificate: Certificate,
        *,
        target: str | None = None,
        target_tls: bool = False,
        alias: str = "load-balancer",
        run: Run | None = None,
    ) -> None:
        files = {CERTIFICATE_FILE: haproxy_certificate(certificate)}
        super().__init__(
            images.service_image("load-balancer").reference, network, alias, run, files=files
        )
        self._certificate = certificate
        # The redirect from HTTP leads to 443, by which a browser comes in production: the engine
        # picks the published port.
        described = description.read({"MATOMO_PORT": str(HTTPS)}).services["load-balancer"]
        chosen = {"TARGET": target} if target else {}
        self.with_envs(**{**described.environment, **chosen})
        if target_tls:
            self.with_envs(TARGET_OPTIONS=TO_TLS)
        # It answers even when its target does not.
        self.waiting_for(AnswerWaitStrategy("the load balancer", lambda: self.http.ask("")))

    @property
    def url(self) -> str:
        """Address of Matomo by TLS, without a slash at the end."""
        return f"https://localhost:{self.published_port}"

    @property
    def web(self) -> Web:
        """A new conversation by TLS, without cookies, that checks the certificate."""
        return Web(self.url, authority=self._certificate.authority)

    @property
    def http(self) -> Web:
        """A new conversation in clear text."""
        return Web(f"http://localhost:{self.published(HTTP)}")
