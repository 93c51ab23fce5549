"""Mutants of tracking: visitors lack the tracker or the opt-out, or hits are lost or miscounted."""

from typing import Final

from matomo_harness.gate.mutants import Deployment, Location, Mutants, Topology
from matomo_harness.gate.mutants.changes import apache, at_the_load_balancer, code, in_web, key
from matomo_harness.gate.promises.tracking.checks import Tracking

MUTANTS: Final = Mutants("tracking")


# -- opting out ------------------------------------------------------------------------------------

MUTANTS.add(
    "opt_out_refused",
    "a rule closes the administration module to whoever has no session: no visitor can opt out",
    Location.IMAGE,
    "opt_out_is_served",
    apache(
        '<If "%{QUERY_STRING} =~ /module=CoreAdminHome/ && %{HTTP_COOKIE} !~ /MATOMO_SESSID=/">',
        "Require all denied",
        "</If>",
    ),
    topology=Topology.DEDICATED,
)
MUTANTS.add(
    "opt_out_in_no_frame",
    "the web server has every page refuse frames, the opt-out page as well",
    Location.IMAGE,
    "opt_out_may_be_framed",
    apache("Header set X-Frame-Options SAMEORIGIN"),
    topology=Topology.DEDICATED,
)
MUTANTS.add(
    "opt_out_renamed",
    "the opt-out cookie has another name: everybody who opted out is counted again",
    Location.FILE,
    ("opt_outs_are_kept", "settings.file_is_of_the_image"),
    key("Tracker", "ignore_visits_cookie_name", "opted_out"),
)
MUTANTS.add(
    "opt_out_dropped",
    "the load balancer passes no cookie on to the tracker, for caching: opt-outs are ignored",
    Location.PROXY,
    "opt_outs_are_kept",
    at_the_load_balancer("http-request del-header Cookie if { path /matomo.php }"),
    topology=Topology.FULL_STACK,
)
MUTANTS.add(
    "sticky_tracker",
    "the load balancer keeps each visitor at one task, by a cookie that comes with the first hit",
    Location.PROXY,
    "no_cookie_before_a_click",
    at_the_load_balancer('http-response set-header Set-Cookie "AWSALB=1; Path=/"'),
    "P14",
    Topology.FULL_STACK,
)


@MUTANTS.mutant(
    "session_in_the_frame",
    Location.IMAGE,
    "no_cookie_before_a_click",
    "P14",
    Topology.DEDICATED,
)
def _session_in_the_frame(deployment: Deployment) -> None:
    """The opt-out frame is promised to set no cookie, and is given a session."""
    promised = Tracking(opt_out=True, without_cookies=("opt_out_frame",))
    deployment.policy = deployment.policy.with_section(promised)
    apache(
        '<If "%{QUERY_STRING} =~ /action=optOut$/">',
        'Header add Set-Cookie "MATOMO_SESSID=x; path=/"',
        "</If>",
    )(deployment)


# -- the tracker ----------------------------------------------------------------------------------

MUTANTS.add(
    "tracker_cut",
    "the tracker JavaScript was cut off",
    Location.VOLUME,
    ("tracker_is_whole", "tracker_is_served"),
    in_web("head -c 50000 piwik.js > matomo.js"),
    "M4",
    Topology.DEDICATED,
)
MUTANTS.add(
    "tracker_unreadable",
    "the web server may not read the tracker",
    Location.VOLUME,
    "tracker_is_served",
    in_web("chown root matomo.js && chmod 600 matomo.js"),
    "F4",
    Topology.DEDICATED,
)
MUTANTS.add(
    "tracker_of_another",
    "matomo.js is of an older version",
    Location.VOLUME,
    "tracker_is_whole",
    in_web("sed -i 's/Matomo - free/Matomo - Free/' matomo.js && cp matomo.js piwik.js"),
    "M4",
    Topology.DEDICATED,
)
MUTANTS.add(
    "tracker_for_its_own_site_alone",
    "a header makes browsers withhold the tracker from all pages but Matomo's own",
    Location.IMAGE,
    "tracker_is_served",
    apache("Header always set Cross-Origin-Resource-Policy same-origin"),
    "M4",
    Topology.DEDICATED,
)
MUTANTS.add(
    "tracker_as_text",
    "the tracker is served as text, which with nosniff no browser runs",
    Location.IMAGE,
    "tracker_is_served",
    apache('<FilesMatch "^(matomo|piwik)\\.js$">', "ForceType text/plain", "</FilesMatch>"),
    "M4",
    Topology.DEDICATED,
)


# -- what is counted ------------------------------------------------------------------------------

MUTANTS.add(
    "charset_of_three_bytes",
    "the session with the database uses MySQL's old utf8",
    Location.ENVIRONMENT,
    "every_letter_is_kept",
    failure_mode="U7",
    topology=Topology.DEDICATED,
    environment={"MATOMO_DATABASE_CHARSET": "utf8"},
)
MUTANTS.add(
    "long_titles_cut",
    "titles and addresses are cut after 128 characters, to spare the database",
    Location.FILE,
    "every_letter_is_kept",
    key("Tracker", "page_maximum_length", 128),
)
MUTANTS.add(
    "robots_counted",
    "robots are counted, so that a monitor's visits are seen",
    Location.IMAGE,
    "robots_are_not_counted",
    code(
        "core/Tracker/VisitExcluded.php",
        "protected function isNonHumanBot()\n    {",
        "protected function isNonHumanBot()\n    { return false;",
    ),
    topology=Topology.DEDICATED,
)
