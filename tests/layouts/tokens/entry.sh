#!/bin/bash
set -euo pipefail
: "${DB_HOST:?DB_HOST is required}"
: "${DB_PASSWORD:?DB_PASSWORD is required}"
/entrypoint.sh true
sed -e "s|{{DB_HOST}}|$DB_HOST|" -e "s|{{DB_USERNAME}}|${DB_USERNAME:-matomo}|" -e "s|{{DB_PASSWORD}}|$DB_PASSWORD|" -e "s|{{DB_NAME}}|${DB_NAME:-matomo}|" -e "s|{{MATOMO_SALT}}|${MATOMO_SALT:-}|" /config.ini.php.tpl > /var/www/html/config/config.ini.php
chown www-data: /var/www/html/config/config.ini.php
exec "$@"
