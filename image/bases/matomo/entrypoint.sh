#!/bin/sh
set -e

# NAME_FILE names a file that holds the value of NAME, as Docker secrets are given.
from_file() {
    eval "value=\${$1-} file=\${$1_FILE-}"
    [ -n "$file" ] || return 0
    if [ -n "$value" ]; then
        echo "entrypoint: $1 and $1_FILE are both set, expected only one" >&2
        exit 1
    fi
    value=$(cat "$file")
    export "$1=$value"
    unset "$1_FILE"
}

for name in HOST USERNAME PASSWORD DBNAME; do
    from_file "MATOMO_DATABASE_$name"
done

if [ ! -e matomo.php ]; then
    user=$(id -u)
    group=$(id -g)
    if [ "$user" = 0 ]; then
        user=www-data
        group=www-data
        case $1 in
        apache2*)
            # Apache writes a numeric id as #1000, chown without the sign.
            user=${APACHE_RUN_USER:-www-data}
            user=${user#\#}
            group=${APACHE_RUN_GROUP:-www-data}
            group=${group#\#}
            ;;
        esac
    fi
    # Deployments patch the next two lines with sed: keep their form.
    tar cf - --one-file-system -C /usr/src/matomo . | tar xf -
    chown -R "$user":"$group" .
fi

exec "$@"
