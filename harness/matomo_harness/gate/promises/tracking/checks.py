"""Tracking: every site gets the tracker, and robots and visitors who opted out are not counted."""

from typing import Annotated, Final, Literal

from pydantic import Field

from matomo_harness.gate.core.check import (
    Capability,
    Finding,
    Severity,
    holds,
    nothing,
    same,
)
from matomo_harness.gate.core.promise import ALWAYS, Promise
from matomo_harness.gate.core.target import Http
from matomo_harness.gate.probes.php import Php
from matomo_harness.gate.probes.traffic import TITLE, TestSite, Traffic
from matomo_harness.policy import Section, promised

Without = Annotated[
    tuple[Literal["opt_out_frame", "opt_out_script", "tracker"], ...], Field(strict=False)
]


class Tracking(Section, table="tracking"):
    """What visitors may choose."""

    opt_out: bool | None = Field(
        default=None,
        description="Visitors can opt out, on any site's page, and are not counted then.",
    )
    without_cookies: Without | None = Field(
        default=None,
        description="What sets no cookie in a visitor's browser before he clicks: the opt-out page"
        " in a frame (`opt_out_frame`; Matomo gives it a session), the opt-out script"
        " (`opt_out_script`), or matomo.js and the answer to a hit (`tracker`).",
    )


PROMISE: Final = Promise(
    "tracking",
    "Every site gets the tracker, and robots and visitors who opted out are not counted.",
    Tracking,
)


# -- opting out ------------------------------------------------------------------------------------


@PROMISE.check(
    "opt_out_is_served",
    formerly="plugins.opt_out_is_served",
    proves="opt_out",
    severity=Severity.HIGH,
    remedy="Have the rules of the web server and of the load balancer serve everybody"
    " index.php?module=CoreAdminHome&action=optOutJS.",
)
def opt_out_is_served(http: Http) -> Finding:
    """Visitors of any site get the opt-out script without a session in Matomo."""
    answer = http.web.get({"module": "CoreAdminHome", "action": "optOutJS", "divId": "opt-out"})
    kind = answer.headers.get("Content-Type", "")
    is_served = answer.ok and "javascript" in kind and "opt-out" in answer.text
    return holds(is_served, "the script", f"HTTP {answer.status_code}, {kind}")


@PROMISE.check(
    "opt_out_may_be_framed",
    formerly="plugins.opt_out_may_be_framed",
    proves="opt_out",
    severity=Severity.HIGH,
    remedy="Have the web server and the load balancer add no X-Frame-Options and no frame-ancestors"
    " to index.php?module=CoreAdminHome&action=optOut.",
)
def opt_out_may_be_framed(http: Http) -> Finding:
    """The opt-out page may be framed by any site's pages."""
    answer = http.web.get({"module": "CoreAdminHome", "action": "optOut"})
    frame, policy = (
        answer.headers.get(name, "") for name in ("X-Frame-Options", "Content-Security-Policy")
    )
    may_be_framed = answer.ok and not frame and "frame-ancestors" not in policy
    seen = f"HTTP {answer.status_code} {frame}"
    return holds(may_be_framed, "a page that forbids no frame", seen)


@PROMISE.check(
    "no_cookie_before_a_click",
    proves="without_cookies",
    severity=Severity.HIGH,
    remedy="Have pages include the opt-out script (action=optOutJS) in place of the frame, leave"
    " use_third_party_id_cookie of [Tracker] off, and have the load balancer set no cookie there.",
    failure_mode="P14",
)
def no_cookie_before_a_click(tracking: Tracking, http: Http, site: TestSite | None) -> Finding:
    """Nothing that the policy names sets a cookie in a visitor's browser before he has clicked."""
    opting_out = "index.php?module=CoreAdminHome&divId=opt-out&action="
    # Without a site the tracker only says what it is, with the headers of any answer.
    hit = f"matomo.php?idsite={site.id}&rec=1" if site else "matomo.php"
    paths = {
        "opt_out_frame": (f"{opting_out}optOut",),
        "opt_out_script": (f"{opting_out}optOutJS",),
        "tracker": ("matomo.js", hit),
    }
    found = []
    for name in promised(tracking.without_cookies):
        for path in paths[name]:
            web = http.web
            web.get(path=path)
            found += [f"{name}: {cookie.name}" for cookie in web.session.cookies]
    return nothing("cookie", found)


@PROMISE.check(
    "opt_outs_are_kept",
    formerly="plugins.opt_outs_are_kept",
    proves="opt_out",
    severity=Severity.CRITICAL,
    remedy="Leave ignore_visits_cookie_name of [Tracker] as Matomo has it, and have the load"
    " balancer pass cookies on to matomo.php.",
    needs=[Capability.HITS],
)
def opt_outs_are_respected(traffic: Traffic) -> Finding:
    """A visitor who opted out is not counted: no hit with Matomo's opt-out cookie becomes a visit."""
    counted = traffic.opted_out in traffic.stored
    return holds(not counted, "nothing stored", "a visit" if counted else "nothing stored")


# -- the tracker ----------------------------------------------------------------------------------


@PROMISE.check(
    "tracker_is_whole",
    formerly="plugins.tracker_is_whole",
    proves=ALWAYS,
    severity=Severity.MEDIUM,
    remedy="Name CustomJsTracker in Plugins[] of config.ini.php, and generate matomo.js again:"
    " console custom-matomo-js:update.",
    failure_mode="M4",
)
def tracker_is_whole(php: Php) -> Finding:
    """The tracker JavaScript on disk is of this version and has every active plugin's part in it."""
    return same(True, php.facts["tracker_is_whole"])


@PROMISE.check(
    "tracker_is_served",
    formerly="plugins.tracker_is_served",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Have the web server serve matomo.js and piwik.js, both the same, as JavaScript and with"
    " no Cross-Origin-Resource-Policy but cross-origin.",
    failure_mode="M4",
)
def tracker_is_served(http: Http) -> Finding:
    """matomo.js and piwik.js are served to every site's pages and are the same."""
    answers = [http.web.ask(name) for name in ("matomo.js", "piwik.js")]
    is_served = all(answer.ok and "Matomo" in answer.text[:300] for answer in answers)
    is_served = is_served and answers[0].content == answers[1].content
    # With nosniff a browser runs nothing else (Fetch, "blocked due to nosniff").
    kinds = [answer.headers.get("Content-Type", "") for answer in answers]
    is_served = is_served and all("javascript" in kind for kind in kinds)
    # Otherwise a browser withholds it from another origin (Fetch, Cross-Origin-Resource-Policy).
    policies = [
        answer.headers.get("Cross-Origin-Resource-Policy", "cross-origin") for answer in answers
    ]
    is_served = is_served and set(policies) == {"cross-origin"}
    seen = ", ".join(
        f"HTTP {answer.status_code}, {len(answer.content)} bytes, {kind}, {policy}"
        for answer, kind, policy in zip(answers, kinds, policies, strict=True)
    )
    return holds(is_served, "Matomo's tracker under both names, cross-origin", seen)


# -- what is counted ------------------------------------------------------------------------------


@PROMISE.check(
    "every_letter_is_kept",
    formerly="configuration.every_letter_is_kept",
    proves=ALWAYS,
    severity=Severity.MEDIUM,
    remedy="Set charset of [database] to utf8mb4, and leave page_maximum_length of [Tracker] as"
    " Matomo has it.",
    failure_mode="U7",
    needs=[Capability.HITS],
)
def every_letter_is_stored(traffic: Traffic) -> Finding:
    """A page's title is stored to the letter, whatever its script."""
    titles = {
        str(action.get("pageTitle"))
        for visit in traffic.visits_log
        for action in visit["actionDetails"]
    }
    return holds(TITLE in titles, TITLE, "; ".join(sorted(titles)))


@PROMISE.check(
    "robots_are_not_counted",
    formerly="archiving.robots_are_not_counted",
    proves=ALWAYS,
    severity=Severity.MEDIUM,
    remedy="Restore core/Tracker/VisitExcluded.php from the image, and remove any plugin that counts"
    " robots.",
    needs=[Capability.HITS],
)
def robots_are_not_counted(traffic: Traffic) -> Finding:
    """A robot's hit is not counted as a visit."""
    counted = traffic.robot in traffic.stored
    return holds(not counted, "nothing stored", "a visit" if counted else "nothing stored")
