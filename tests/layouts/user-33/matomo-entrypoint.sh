#!/bin/sh
set -e
for name in HOST PORT USER PASSWORD DBNAME; do
    eval "value=\$MATOMO_MYSQL_$name"
    sed -i -e "s/{MATOMO_MYSQL_$name}/$value/" /var/www/html/config/config.ini.php
done
sed -i -e "s/{MATOMO_SALT}/$MATOMO_SALT/" /var/www/html/config/config.ini.php
exec "$@"
