"""Controls: other than the reference, and every promise kept. Nothing may go red."""

import dataclasses
from typing import Final

from matomo_harness.gate.mutation.changes import (
    apache,
    api,
    every,
    file,
    image_file,
    in_web,
    key,
    option,
    sql,
    user,
    with_key,
    without_line,
)
from matomo_harness.gate.mutation.mutant import Deployment, Part, Stage, Variant
from matomo_harness.matomo import twofactor


def _another_admin(deployment: Deployment) -> None:
    instance = deployment.instance
    confirmation = {"passwordConfirmation": instance.account.password}
    user("second", "a-long-one-1")(deployment)
    twofactor.enrol(instance.web, "second", "a-long-one-1")
    instance.api.call(
        "UsersManager.setSuperUserAccess", userLogin="second", hasSuperUserAccess=1, **confirmation
    )


def _reversed(text: str) -> str:
    """The keys of [General] in another order; lists keep theirs."""
    head, _, rest = text.partition("[General]\n")
    body, bracket, tail = rest.partition("\n[")
    lines = [line for line in body.splitlines() if line and not line.startswith(";")]
    single = [line for line in lines if "[]" not in line]
    lists = [line for line in lines if "[]" in line]
    return "\n".join([f"{head}[General]", *lists, *reversed(single), ""]) + bracket + tail


def _row_limits(deployment: Deployment) -> None:
    """In the image and in the policy alike."""
    image_file(with_key("General", "datatable_archiving_maximum_rows_events", 2000))(deployment)
    archiving = deployment.policy.archiving
    rows = {**archiving.maximum_rows, "events": 2000}
    deployment.policy = dataclasses.replace(
        deployment.policy, archiving=dataclasses.replace(archiving, maximum_rows=rows)
    )


def _one_more_plugin(deployment: Deployment) -> None:
    """A folder in the overlay, a line in config.ini.php, a line in the policy."""
    code = "<?php namespace Piwik\\Plugins\\Added; class Added extends \\Piwik\\Plugin {}"
    described = '{"name":"Added","version":"1.0.0","description":"One more.","require":{"matomo":">=5.0.0,<6.0.0-b1"}}'
    for place in ("plugins/Added", "/usr/src/matomo/plugins/Added"):
        in_web(f"mkdir {place}")(deployment)
        deployment.shell.write(f"{place}/Added.php", code, user="root")
        deployment.shell.write(f"{place}/plugin.json", described, user="root")
    image_file(with_key("Plugins", "Plugins[]", "Added"))(deployment)
    deployment.shell.console("core:clear-caches")
    plugins = deployment.policy.plugins
    more = dataclasses.replace(plugins, active=(*plugins.active, "Added"))
    deployment.policy = dataclasses.replace(deployment.policy, plugins=more)


def _a_patch_later(deployment: Deployment) -> None:
    """The next patch version, whose database update was run."""
    in_web(
        "for it in . /usr/src/matomo; do"
        " sed -Ei \"s/(VERSION = '[0-9]+\\.[0-9]+\\.[0-9]+)'/\\19'/\" $it/core/Version.php; done; rm -rf tmp/cache/*"
    )(deployment)
    deployment.shell.console("core:update", "--yes")


VARIANTS: Final = (
    Variant("variant.as_it_is", "nothing is other"),
    Variant(
        "variant.pair_as_it_is", "nothing is other, in containers of its own", stage=Stage.PAIR
    ),
    Variant(
        "variant.site_s_name",
        "site 1 has another name",
        sql("UPDATE {prefix}site SET name = 'Bibliothèque ✓ \"2\"'"),
        alters=(Part.SITE_NAME,),
    ),
    Variant(
        "variant.site_s_zone",
        "site 1 is in another time zone",
        sql("UPDATE {prefix}site SET timezone = 'Asia/Kathmandu'"),
        alters=(Part.SITE_ZONE,),
    ),
    Variant(
        "variant.currency",
        "site 1 counts in another currency",
        sql("UPDATE {prefix}site SET currency = 'CHF'"),
        alters=(Part.SITE_CURRENCY,),
    ),
    Variant(
        "variant.more_sites",
        "there are more sites",
        every(
            *(
                api("SitesManager.addSite", siteName=f"more {it}", urls=f"https://more{it}.example")
                for it in range(2)
            )
        ),
        alters=(Part.SITES,),
    ),
    Variant(
        "variant.key_order",
        "the keys of config.ini.php are in another order",
        file(_reversed),
        alters=(Part.FILE_LAYOUT,),
    ),
    Variant(
        "variant.comments",
        "config.ini.php has more comments and blank lines",
        file(
            lambda text: text.replace(
                "[TwoFactorAuth]", "\n; a word\n\n; another = one\n\n[TwoFactorAuth]"
            )
        ),
        alters=(Part.FILE_LAYOUT,),
    ),
    Variant(
        "variant.plugin_order",
        "the last plugin stands first in the list",
        file(
            lambda text: with_key("Plugins", "Plugins[]", "NoUserIds")(
                without_line('Plugins[] = "NoUserIds"')(text)
            )
        ),
        alters=(Part.PLUGIN_LIST,),
    ),
    Variant(
        "variant.one_more_plugin",
        "the overlay has one more plugin, which the policy lists",
        _one_more_plugin,
        Stage.PAIR,
        alters=(Part.PLUGIN_LIST,),
    ),
    Variant(
        "variant.another_admin",
        "there is another superuser, enrolled",
        _another_admin,
        alters=(Part.SUPERUSERS,),
    ),
    Variant(
        "variant.more_users",
        "there are more users, who have not come yet",
        user("reader"),
        alters=(Part.USERS,),
    ),
    Variant(
        "variant.row_limits",
        "other row limits, in the image and in the policy",
        _row_limits,
        Stage.PAIR,
        alters=(Part.ROW_LIMITS,),
    ),
    Variant(
        "variant.another_limit",
        "a row limit of which nothing is promised is other",
        image_file(with_key("General", "datatable_archiving_maximum_rows_products", 700)),
        Stage.PAIR,
        alters=(Part.ROW_LIMIT_OF_PRODUCTS,),
    ),
    Variant(
        "variant.a_patch_later",
        "the next patch version, its update run",
        _a_patch_later,
        Stage.PAIR,
        alters=(Part.CODE,),
    ),
    Variant(
        "variant.three_bytes",
        "three bytes are masked",
        option("PrivacyManager.ipAddressMaskLength", 3),
        alters=(Part.MASK,),
    ),
    Variant(
        "variant.saved_unchanged",
        "somebody saved Anonymize data as it was",
        api(
            "PrivacyManager.setAnonymizeIpSettings",
            anonymizeIPEnable=1,
            maskLength=2,
            ipAddressMaskLength=2,
            useAnonymizedIpForVisitEnrichment=0,
        ),
        alters=(Part.MASK,),
    ),
    Variant(
        "variant.four_bytes",
        "the whole address is masked",
        option("PrivacyManager.ipAddressMaskLength", 4),
        alters=(Part.MASK,),
    ),
    Variant(
        "variant.by_default",
        "the database says nothing of masking, and two bytes are Matomo's default",
        sql("DELETE FROM {prefix}option WHERE option_name LIKE 'PrivacyManager.ip%%'"),
        alters=(Part.MASK,),
    ),
    Variant(
        "variant.more_headers",
        "more security headers than promised",
        apache("Header always set Strict-Transport-Security max-age=31536000"),
        Stage.PAIR,
        alters=(Part.HEADERS,),
    ),
    Variant(
        "variant.segment",
        "somebody made a segment",
        api(
            "SegmentEditor.add",
            name="Mobile",
            definition="deviceType==smartphone",
            idSite=1,
            autoArchive=1,
            enabledAllUsers=1,
        ),
        alters=(Part.SEGMENTS,),
    ),
    Variant(
        "variant.goal",
        "site 1 has a goal",
        api(
            "Goals.addGoal",
            idSite=1,
            name="Read",
            matchAttribute="url",
            pattern="/read",
            patternType="contains",
        ),
        alters=(Part.GOALS,),
    ),
    Variant(
        "variant.annotation",
        "somebody annotated a day",
        api("Annotations.add", idSite=1, date="2026-01-05", note="moved"),
        alters=(Part.ANNOTATIONS,),
    ),
    Variant(
        "variant.language",
        "the superuser reads French",
        api("LanguagesManager.setLanguageForUser", login="admin", languageCode="fr"),
        alters=(Part.LANGUAGE,),
    ),
    Variant(
        "variant.hosts",
        "another name is trusted as well",
        key("General", "trusted_hosts[]", "matomo.example"),
        alters=(Part.TRUSTED_HOSTS,),
    ),
    Variant(
        "variant.last_saved",
        "Matomo has saved its configuration itself",
        lambda it: (
            it.shell.console("config:set", "--section=General", "--key=gate_canary", "--value=1"),
            it.shell.console("config:delete", "--section=General", "--key=gate_canary"),
        ),
        alters=(
            Part.FILE_LAYOUT,
            Part.PLUGIN_LIST,
            Part.TRUSTED_HOSTS,
        ),
    ),
    Variant(
        "variant.all_stands", "nothing is other, in the shape of production", stage=Stage.PRODUCTION
    ),
)
