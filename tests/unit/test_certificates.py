"""One process has one authority, whoever asks for it first."""

from concurrent.futures import ThreadPoolExecutor

from matomo_harness.runtime import certificates


def test_threads_that_ask_at_once_get_the_same_authority() -> None:
    certificates._authority.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        authorities = list(pool.map(lambda _: certificates.authority(), range(8)))
    assert len({id(authority) for authority in authorities}) == 1
