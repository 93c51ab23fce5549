#!/bin/bash
set -e
/entrypoint.sh true
php -r 'new mysqli(getenv("MATOMO_DATABASE_HOST"), getenv("MATOMO_DATABASE_USERNAME"), getenv("MATOMO_DATABASE_PASSWORD"), getenv("MATOMO_DATABASE_DBNAME"));'
if [ -e config/config.ini.php ]; then
    su -s /bin/bash www-data -c "php console core:update --yes --no-interaction"
fi
exec "$@"
