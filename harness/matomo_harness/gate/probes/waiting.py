"""A hit that may wait in a queue: where it is kept until the queue runs, and whether it arrives."""

from matomo_harness.gate.core.check import Capability, Group
from matomo_harness.gate.core.context import Step
from matomo_harness.gate.core.target import Permissions
from matomo_harness.gate.probes import leak_scan
from matomo_harness.gate.probes.queue import Queue
from matomo_harness.gate.probes.traffic import Sender, StoredHits, TestSite
from matomo_harness.matomo.database import Database


class WaitingHit(Step, needs={Capability.HITS}, group=Group.TRAFFIC):
    """A hit is sent, and looked for before and after the queue runs.

    Args:
        sender: the one of all traffic.
        site: where it should be stored.
        queue: runs where the hit is not stored at once.
        stored: where hits are that have arrived.
        permissions: all tables are read only where the instance is thrown away afterwards.
        database: in which the hit may wait.
    """

    def __init__(
        self,
        sender: Sender,
        site: TestSite,
        queue: Queue,
        stored: StoredHits,
        permissions: Permissions,
        database: Database | None,
    ) -> None:
        hit = sender.new("waiting", site.id)
        answer = sender.send(hit)
        self.answer = f"HTTP {answer.status_code}"
        self.is_accepted = answer.ok
        self.is_stored_at_once = bool(stored.of([hit]))
        self.whole_addresses: list[str] = []
        """The tables that have its whole address while it waits, each with the address."""
        self.tables: list[str] = []
        """The tables that have anything of it while it waits."""
        if not self.is_stored_at_once and permissions.may_change and database:
            contents = leak_scan.contents(database)
            self.whole_addresses = leak_scan.found_in(contents, leak_scan.addresses([hit]))
            word = hit.page.rpartition("/")[-1].encode()
            self.tables = [table for table, text in contents.items() if word in text]
        if not self.is_stored_at_once:
            queue.run()
        self.arrives = self.is_stored_at_once or bool(stored.of([hit]))
