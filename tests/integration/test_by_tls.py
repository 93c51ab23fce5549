"""Instances share a load balancer and a mail relay: each speaks TLS and is alone."""

from urllib.parse import urlsplit

from matomo_harness.pytest_plugin import MatomoByTls
from matomo_harness.runtime.instance import Instance


def test_an_instance_answers_by_tls_with_a_valid_certificate(
    matomo_by_tls: MatomoByTls,
) -> None:
    instance = matomo_by_tls.instance
    assert urlsplit(instance.url).scheme == "https"
    assert instance.api.call("SitesManager.getAllSitesId") == [1]
    assert instance.web.ask("matomo.php?idsite=1&rec=1").status_code == 200


def test_mail_of_an_instance_reaches_the_relay(matomo_by_tls: MatomoByTls) -> None:
    instance = matomo_by_tls.instance
    recipient = f"{instance.shell.instance}@people.example"
    instance.shell.console("core:test-email", recipient)
    assert matomo_by_tls.mailbox.wait_for(recipient, "test").recipients == (recipient,)


def test_archiving_one_instance_leaves_another_alone(
    matomo_by_tls: MatomoByTls, fresh_matomo: Instance
) -> None:
    instance = matomo_by_tls.instance
    instance.web.ask("matomo.php?idsite=1&rec=1")
    matomo_by_tls.archive("--disable-scheduled-tasks")
    counted = [
        matomo.api.call("VisitsSummary.getVisits", idSite=1, period="day", date="today")["value"]
        for matomo in (instance, fresh_matomo)
    ]
    assert counted == [1, 0]
