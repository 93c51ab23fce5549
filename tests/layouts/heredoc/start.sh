#!/bin/bash
MATOMO_SALT=$(openssl rand -hex 32 2>/dev/null || head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')
/entrypoint.sh true
cat << EOF > /var/www/html/config/config.ini.php
[database]
host = "${MATOMO_DATABASE_HOST}"
username = "${MATOMO_DATABASE_USERNAME}"
password = "${MATOMO_DATABASE_PASSWORD}"
dbname = "${MATOMO_DATABASE_DBNAME}"

[General]
salt = "${MATOMO_SALT}"

EOF
apache2-foreground
