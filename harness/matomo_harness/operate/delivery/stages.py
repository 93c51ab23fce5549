"""Open what delivery.toml names: a stage with its registry, logged in."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Self

from matomo_harness.errors import WrongInputError
from matomo_harness.operate.delivery import login
from matomo_harness.operate.delivery.aws import Account
from matomo_harness.operate.delivery.registry import Registry
from matomo_harness.policy import delivery
from matomo_harness.policy.delivery import DELIVERY_FILE, DeliveryFile, Stage

OWN_FILE: Final = Path(DELIVERY_FILE.name)
"""An institution's, in the directory where it delivers."""


@dataclass(frozen=True)
class Delivery:
    """delivery.toml, and where it is: the files that it names are beside it.

    Args:
        path: the file.
        content: what it says.
    """

    path: Path
    content: DeliveryFile

    @classmethod
    def read(cls, path: Path | None = None) -> Self:
        """Read `path`; by default delivery.toml here, or the reference's.

        Raises:
            WrongInputError: it has a mistake.
        """
        chosen = path or (OWN_FILE if OWN_FILE.exists() else DELIVERY_FILE)
        return cls(chosen, delivery.read(chosen))

    def beside(self, name: str) -> Path:
        """Return the path of a file that delivery.toml names."""
        return self.path.parent / name

    @property
    def policy(self) -> Path:
        """The policy that the gate must have judged by."""
        return self.beside(self.content.passport.policy)

    @property
    def trusted(self) -> Path:
        """The file of those who may sign."""
        return self.beside(self.content.passport.trusted)

    def stage(self, name: str) -> "OpenStage":
        """Return a stage by its name.

        Raises:
            WrongInputError: there is no such stage, or a placeholder in it.
        """
        full = delivery.full_name(name)
        return OpenStage(self, full, delivery.of_name(self.content, full, self.path))


@dataclass(frozen=True)
class OpenStage:
    """A stage, with what talks to it.

    Args:
        delivery: the file that describes it.
        name: of the stage.
        stage: what the file says.
    """

    delivery: Delivery
    name: str
    stage: Stage

    @cached_property
    def account(self) -> Account | None:
        """Its account at AWS; None where the registry is another one."""
        return Account(self.stage) if self.stage.account else None

    @cached_property
    def registry(self) -> Registry:
        """Its repository, logged in; it exists.

        Raises:
            HarnessError: credentials are missing or another account's, the login is refused, or
                there is no such repository.
        """
        if self.account:
            who: login.Login | None = self.account.login()
            self.account.require_repository()
        else:
            who = login.of_this_machine(self.stage.host)
        return Registry(self.stage.host, self.stage.repository, who, self._authority())

    def _authority(self) -> str | None:
        if not self.stage.authority:
            return None
        path = self.delivery.beside(self.stage.authority)
        if not path.is_file():
            raise WrongInputError(
                expected=f"the authority of {self.stage.host} in {path}",
                seen="no such file",
                next_command=f"edit {self.delivery.path}",
            )
        return str(path.resolve())
