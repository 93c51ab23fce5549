; <?php exit; ?> DO NOT REMOVE THIS LINE
; What is deployed. Database, TLS, mail and salt come from the environment (MATOMO_<SECTION>_<KEY>),
; everything else from here. image/policy.toml states the promises that these settings keep.

[General]
; The value comes from MATOMO_GENERAL_SALT. The empty key is what the public EnvironmentVariables
; plugin needs to override it, and without a stable salt no token survives a restart.
salt = ""

; Archiving runs by schedule only. The first key takes the trigger away, the second takes it from
; segments too, and neither alone does both. The third takes the page away on which a click could
; bring the trigger back (the database's value wins while that page is there), and with it makes
; today's 1,800 s count.
enable_browser_archiving_triggering = 0
browser_archiving_disabled_enforce = 1
enable_general_settings_admin = 0
time_before_today_archive_considered_outdated = 1800
; What an archiver had begun that was killed (no memory, a lost host) is taken up again after this
; many seconds, and not after a day. No single archive may take longer.
archive_failure_recovery_timeout = 7200

; The load balancer appends the visitor's address as the last entry.
proxy_client_headers[] = "HTTP_X_FORWARDED_FOR"
; Since 5.7 Matomo believes a proxy's scheme only by a header that is listed here; without them
; force_ssl redirects for ever.
proxy_scheme_headers[] = "HTTP_X_FORWARDED_PROTO"
proxy_scheme_headers[] = "HTTP_X_FORWARDED_SCHEME"
proxy_scheme_headers[] = "HTTP_X_URL_SCHEME"

; The image is the only source of code: an update from the browser would be gone with the container.
enable_auto_update = 0

; Rows kept for each report; what is beyond them is summed up as "Others".
datatable_archiving_maximum_rows_referrers = 5000
datatable_archiving_maximum_rows_subtable_referrers = 5000
datatable_archiving_maximum_rows_actions = 5000
datatable_archiving_maximum_rows_subtable_actions = 5000
datatable_archiving_maximum_rows_site_search = 5000
datatable_archiving_maximum_rows_events = 5000
datatable_archiving_maximum_rows_subtable_events = 100

[database]
; Matomo's own default is MySQL's old utf8, of three bytes at most: 𠮷 and 📚 in a title were lost.
; To tables that were made by that, hits with such letters would be lost whole. Convert them first:
; MATOMO_DATABASE_CHARSET=utf8 ./console core:convert-to-utf8mb4 --yes
charset = "utf8mb4"

[Deletelogs]
; Raw visits are deleted once they are 720 days old, every week: none is older than two years.
delete_logs_enable = 1
delete_logs_older_than = 720
delete_logs_schedule_lowest_interval = 7

[TwoFactorAuth]
; Set here it holds from the first login of a new database and cannot be clicked away.
twoFactorAuthRequired = 1

[Plugins]
; This list replaces Matomo's own. UserId is not in it: no user ids. Neither are Marketplace and
; MobileMessaging: they need the internet, and what a browser installs is gone with the container.
Plugins[] = "CoreVue"
Plugins[] = "CorePluginsAdmin"
Plugins[] = "CoreAdminHome"
Plugins[] = "CoreHome"
Plugins[] = "WebsiteMeasurable"
Plugins[] = "IntranetMeasurable"
Plugins[] = "Diagnostics"
Plugins[] = "CoreVisualizations"
Plugins[] = "Proxy"
Plugins[] = "API"
Plugins[] = "Widgetize"
Plugins[] = "Transitions"
Plugins[] = "LanguagesManager"
Plugins[] = "Actions"
Plugins[] = "Dashboard"
Plugins[] = "MultiSites"
Plugins[] = "Referrers"
Plugins[] = "UserLanguage"
Plugins[] = "DevicesDetection"
Plugins[] = "Goals"
Plugins[] = "Ecommerce"
Plugins[] = "SEO"
Plugins[] = "Events"
Plugins[] = "UserCountry"
Plugins[] = "GeoIp2"
Plugins[] = "VisitsSummary"
Plugins[] = "VisitFrequency"
Plugins[] = "VisitTime"
Plugins[] = "VisitorInterest"
Plugins[] = "RssWidget"
Plugins[] = "Feedback"
Plugins[] = "Monolog"
Plugins[] = "Login"
Plugins[] = "TwoFactorAuth"
Plugins[] = "UsersManager"
Plugins[] = "SitesManager"
Plugins[] = "Installation"
Plugins[] = "CoreUpdater"
Plugins[] = "CoreConsole"
Plugins[] = "ScheduledReports"
Plugins[] = "UserCountryMap"
Plugins[] = "Live"
Plugins[] = "PrivacyManager"
Plugins[] = "ImageGraph"
Plugins[] = "Annotations"
Plugins[] = "Overlay"
Plugins[] = "SegmentEditor"
Plugins[] = "Insights"
Plugins[] = "Morpheus"
Plugins[] = "Contents"
Plugins[] = "BulkTracking"
Plugins[] = "Resolution"
Plugins[] = "DevicePlugins"
Plugins[] = "Heartbeat"
Plugins[] = "Intl"
Plugins[] = "CustomJsTracker"
Plugins[] = "Tour"
Plugins[] = "PagePerformance"
Plugins[] = "CustomDimensions"
Plugins[] = "JsTrackerInstallCheck"
Plugins[] = "FeatureFlags"
Plugins[] = "EnvironmentVariables"
Plugins[] = "NoUserIds"
; Where the image has it: the build drops the line of an optional plugin that is absent.
Plugins[] = "TagManager" ; optional
Plugins[] = "CustomVariables" ; optional
