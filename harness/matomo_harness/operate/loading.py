"""Loads a dump into its quarantine: rows by several sessions at once, keys when they are there."""

import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Final

import pymysql
from pymysql.constants import ER

from matomo_harness.dumps.keys import without_keys
from matomo_harness.dumps.statements import Judgement, Kind
from matomo_harness.errors import WrongInputError
from matomo_harness.personal_data import schema
from matomo_harness.personal_data.rules import TablePlan
from matomo_harness.personal_data.schema import Connection
from matomo_harness.runtime.quarantine import Quarantine

SESSIONS: Final = 2
"""The server parses and writes the rows of one session on one processor."""

Keys = Mapping[str, tuple[str, ...]]
"""Secondary keys that are still to be made, as ALTER TABLE … ADD takes them, by whole names of
tables."""


class Loader:
    """Takes a dump's statements in their order, and runs them in a quarantine.

    Rows of INSERTs are sent by whichever session is free; anything else waits until all are.

    Args:
        held: the quarantine.
        sessions: of the account that loads.
        pool: has a thread for each.
    """

    def __init__(
        self, held: Quarantine, sessions: Sequence[Connection], pool: ThreadPoolExecutor
    ) -> None:
        self._held = held
        self._sessions = sessions
        self._pool = pool
        self._free: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        for session in sessions:
            self._free.put(session)
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        self._rows = Counter[str]()
        self._keys: dict[str, tuple[str, ...]] = {}

    def take(self, judged: Judgement) -> None:
        """Run a statement, or have it run.

        Raises:
            WrongInputError: this one, or one before it, is refused.
            UnsupportedEnvironmentError: memory or disk is full.
        """
        kind, table = judged.kind, judged.table
        # Nobody else is here, and what is half loaded is thrown away: a lock, and a transaction of
        # several statements, would only have one session wait for another.
        if kind in (Kind.LOCK, Kind.TRANSACTION):
            return
        if kind is Kind.ROWS and judged.statement.text[:6].upper() == b"INSERT":
            session = self._free.get()
            self._require_no_error()
            self._pool.submit(self._run_and_free, session, judged)
            return
        with self._all_free():
            if kind is Kind.CREATE_TABLE and table:
                text, self._keys[table] = without_keys(judged.statement.text)
                judged = replace(judged, statement=replace(judged.statement, text=text))
            elif kind in (Kind.DROP_TABLE, Kind.TRUNCATE_TABLE) and table:
                del self._rows[table]
            for session in self._sessions if kind is Kind.SET else self._sessions[:1]:
                self._run(session, judged)
                if kind is Kind.SET:
                    session.autocommit(True)  # the dump may have turned it off

    def finish(self) -> Keys:
        """Wait for all rows; return the keys that are to be made.

        Raises:
            WrongInputError: a statement was refused, or rows are not there that the server took.
        """
        with self._all_free(), self._held.refusals("the rows that were loaded"):
            self._require_rows(self._sessions[0])
        return self._keys

    @contextmanager
    def _all_free(self) -> Iterator[None]:
        for _ in self._sessions:
            self._free.get()
        try:
            self._require_no_error()
            yield
        finally:
            for session in self._sessions:
                self._free.put(session)

    def _require_no_error(self) -> None:
        if self._error:
            raise self._error

    def _run_and_free(self, session: Connection, judged: Judgement) -> None:
        try:
            self._run(session, judged)
        except BaseException as error:  # noqa: BLE001  raised again where statements are taken
            self._error = self._error or error
        finally:
            self._free.put(session)

    def _run(self, session: Connection, judged: Judgement) -> None:
        table = f" of {judged.table}" if judged.table else ""
        what = f"{judged.kind.value if judged.kind else 'a statement'}{table}"
        with self._held.refusals(f"{what} (line {judged.statement.line})"):
            try:
                changed = session.query(judged.statement.text)
            except pymysql.err.MySQLError as error:
                if error.args[:1] == (ER.ERROR_DURING_COMMIT,):
                    raise _lost(f"all rows of {judged.table}", "none of a statement's") from error
                raise
        if judged.kind is Kind.ROWS and judged.table:
            # What REPLACE replaces counts as well, and there may be fewer rows than changes.
            is_insert = judged.statement.text[:6].upper() == b"INSERT"
            with self._lock:
                self._rows[judged.table] += changed if is_insert else 0

    def _require_rows(self, session: Connection) -> None:
        """Require all rows that the server said it took.

        Raises:
            WrongInputError: some are not there.
        """
        for table, count in self._rows.items():
            if (found := schema.row_count(session, table)) < count:
                raise _lost(f"all {count} rows of {table}", str(found))


def _lost(expected: str, seen: str) -> WrongInputError:
    """Return the error of rows that MariaDB did not take.

    Where the checks are off, as every dump says, MariaDB 11.8 loses all rows of an INSERT into an
    empty table if two have the same value in a unique key: with an error at the end of the
    statement, or with none if that is not the end of the transaction. What is different to one
    server may be the same to another: MySQL 8 compares by rules of its own.
    """
    return WrongInputError(
        expected=f"{expected} in the table",
        seen=f"{seen}; to MariaDB, two of them have the same value in a unique key",
        next_command="CHECK TABLE on the server that the dump is of; where that is MySQL 8, give"
        " the column a collation that MariaDB has, and dump again",
    )


@contextmanager
def loader(held: Quarantine) -> Iterator[Loader]:
    """Yield a loader for a quarantine, and close its sessions at the end."""
    with ExitStack() as stack:
        sessions = [stack.enter_context(held.connect()) for _ in range(SESSIONS)]
        pool = stack.enter_context(ThreadPoolExecutor(SESSIONS))
        yield Loader(held, sessions, pool)


def side_by_side(
    held: Quarantine,
    first: Connection,
    plans: Sequence[TablePlan],
    prepare: Callable[[Connection], object],
    work: Callable[[Connection, TablePlan], object],
) -> None:
    """Do `work` for each table, by several sessions at once, the largest tables first.

    Args:
        held: the quarantine.
        first: one of the sessions, which is prepared.
        plans: the tables.
        prepare: prepares another session.
        work: what to do with a table.

    Raises:
        HarnessError: the first error that `work` raised; what is begun ends before.
    """
    sizes = schema.sizes(first)
    waiting = queue.SimpleQueue[TablePlan]()
    for plan in sorted(plans, key=lambda plan: -sizes.get(plan.table, 0)):
        waiting.put(plan)
    errors: list[BaseException] = []

    def run(session: Connection) -> None:
        while not errors:
            try:
                work(session, waiting.get_nowait())
            except queue.Empty:
                return
            except BaseException as error:  # noqa: BLE001  raised again below
                errors.append(error)

    with ExitStack() as stack:
        others = [stack.enter_context(held.connect()) for _ in range(SESSIONS - 1)]
        for session in others:
            prepare(session)
        pool = stack.enter_context(ThreadPoolExecutor(SESSIONS))
        list(pool.map(run, [first, *others]))
    if errors:
        raise errors[0]
