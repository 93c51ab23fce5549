"""The program that starts a browser without netlink."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

from matomo_harness.gate.probes.deaf import without_netlink


def test_processes_write_it_and_start_it_at_the_same_time() -> None:
    done = Event()

    def write() -> None:
        while not done.is_set():
            without_netlink(Path("/bin/true"))

    with ThreadPoolExecutor(2) as writers:
        futures = [writers.submit(write) for _ in range(2)]
        try:
            program = without_netlink(Path("/bin/true"))
            for _ in range(20):
                subprocess.run([program], check=True)
        finally:
            done.set()
        for future in futures:
            future.result()
