"""Controls of accounts: another superuser, whom the policy names."""

from typing import Final

from matomo_harness.gate.mutants import Control, Deployment, Part
from matomo_harness.gate.mutants.changes import user
from matomo_harness.gate.promises.accounts.checks import Accounts
from matomo_harness.matomo import twofactor


def _make_a_superuser(deployment: Deployment) -> None:
    """Make a user, enrol a second factor, grant superuser access, and name it in the policy."""
    instance = deployment.instance
    login, password = "second", "a-long-one-1"
    user(login, password)(deployment)
    twofactor.enrol(instance.web, login, password)
    instance.api.call(
        "UsersManager.setSuperUserAccess",
        userLogin=login,
        hasSuperUserAccess=1,
        passwordConfirmation=instance.account.password,
    )
    accounts = deployment.policy.section(Accounts)
    if accounts.superusers is not None:
        more = accounts.model_copy(update={"superusers": (*accounts.superusers, login)})
        deployment.policy = deployment.policy.with_section(more)


CONTROLS: Final[tuple[Control, ...]] = (
    Control(
        "control.another_admin",
        "there is another superuser, who has enrolled a second factor",
        _make_a_superuser,
        alters=(Part.SUPERUSERS,),
    ),
)
