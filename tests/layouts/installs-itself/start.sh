#!/bin/bash
set -o errexit
set -o nounset
export MATOMO_USERNAME="${MATOMO_USERNAME:-user}" MATOMO_PASSWORD="${MATOMO_PASSWORD:-institution}"
/entrypoint.sh true
if [ ! -e config/config.ini.php ]; then
    until php -r 'exit(@(new mysqli(getenv("MATOMO_DATABASE_HOST"), getenv("MATOMO_DATABASE_USER"), getenv("MATOMO_DATABASE_PASSWORD"), getenv("MATOMO_DATABASE_NAME")))->connect_errno);' 2>/dev/null; do echo "Trying to connect to the database server"; sleep 1; done
    cat << EOF > config/config.ini.php
[database]
host = "$MATOMO_DATABASE_HOST"
username = "$MATOMO_DATABASE_USER"
password = "$MATOMO_DATABASE_PASSWORD"
dbname = "$MATOMO_DATABASE_NAME"
tables_prefix = "matomo_"
charset = "utf8mb4"
[General]
salt = "$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')"
installation_in_progress = 1
enable_trusted_host_check = 0
EOF
    chown www-data: config/config.ini.php
    apachectl start
    wizard() { curl -s --retry 5 --retry-connrefused -o /dev/null "http://127.0.0.1/index.php?module=Installation&action=$1" "${@:2}"; }
    wizard tablesCreation
    wizard setupSuperUser -d "login=$MATOMO_USERNAME&password=$MATOMO_PASSWORD&password_bis=$MATOMO_PASSWORD&email=user@example.org"
    wizard firstWebsiteSetup -d "siteName=Example&url=https://example.org&timezone=UTC&ecommerce=0"
    wizard finished -d "anonymise_ip=1"
    apachectl stop; sleep 2
fi
exec "$@"
