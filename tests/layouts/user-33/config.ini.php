; <?php exit; ?> DO NOT REMOVE THIS LINE
[database]
host = "{MATOMO_MYSQL_HOST}"
port = "{MATOMO_MYSQL_PORT}"
username = "{MATOMO_MYSQL_USER}"
password = "{MATOMO_MYSQL_PASSWORD}"
dbname = "{MATOMO_MYSQL_DBNAME}"
tables_prefix = "matomo_"

[General]
salt = "{MATOMO_SALT}"
trusted_hosts[] = "{HOSTNAME}"
enable_browser_archiving_triggering = 0
