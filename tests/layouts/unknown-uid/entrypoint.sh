#!/bin/sh
set -e
envsubst < /config.ini.tmpl > /var/www/html/config/config.ini.php
exec "$@"
