#!/bin/bash
set -euo pipefail
shopt -s nullglob

data=/var/lib/mysql
# Prepared aside and moved into place at the end: a first start that was cut short begins anew.
fresh=$data/.first-start
socket=/run/mysqld/mysqld.sock

say() { echo "entrypoint: $*" >&2; }
fail() { say "$@"; exit 1; }

# setting NAME: MARIADB_NAME from MARIADB_NAME, MARIADB_NAME_FILE or their older MYSQL_ spellings
setting() {
    local name=MARIADB_$1 old=MYSQL_$1
    local value=${!name-${!old-}} file_name=${name}_FILE old_file=${old}_FILE
    local file=${!file_name-${!old_file-}}
    if [ -n "$file" ]; then
        [ -z "$value" ] || fail "$name and ${name}_FILE are both set, expected only one"
        value=$(< "$file")
    fi
    export "$name=$value"
    unset "$file_name" "$old_file"
}

# A string or a name in SQL, whatever characters it has.
text() {
    local s=${1//\\/\\\\}
    s=${s//\'/\\\'}
    printf "'%s'" "${s//$'\n'/\\n}"
}
# shellcheck disable=SC2016 # SQL's quotes, not the shell's
name() { printf '`%s`' "${1//\`/\`\`}"; }

# For scripts in /docker-entrypoint-initdb.d too. The password goes by the environment, never by the process list.
docker_process_sql() {
    MYSQL_PWD=$MARIADB_ROOT_PASSWORD mariadb --no-defaults --user=root --socket=$socket \
        ${MARIADB_DATABASE:+"--database=$MARIADB_DATABASE"} "$@"
}

accounts() {
    local root user db health=$1
    root=$(text "$MARIADB_ROOT_PASSWORD")
    # A bootstrapping server knows no accounts until it is told to read them.
    echo "FLUSH PRIVILEGES;"
    echo "ALTER USER root@localhost IDENTIFIED BY $root;"
    if [ "$MARIADB_ROOT_HOST" != localhost ]; then
        echo "CREATE USER root@$(text "$MARIADB_ROOT_HOST") IDENTIFIED BY $root;"
        echo "GRANT ALL ON *.* TO root@$(text "$MARIADB_ROOT_HOST") WITH GRANT OPTION;"
    fi
    for host in localhost 127.0.0.1 ::1; do
        echo "CREATE USER healthcheck@'$host' IDENTIFIED BY '$health';"
    done
    if [ -n "$MARIADB_DATABASE" ]; then
        echo "CREATE DATABASE IF NOT EXISTS $(name "$MARIADB_DATABASE");"
    fi
    if [ -n "$MARIADB_USER" ]; then
        user=$(text "$MARIADB_USER")
        echo "CREATE USER $user@'%' IDENTIFIED BY $(text "$MARIADB_PASSWORD");"
        if [ -n "$MARIADB_DATABASE" ]; then
            # In a grant the name is a pattern, where _ would match any letter.
            db=$(name "${MARIADB_DATABASE//_/\\_}")
            echo "GRANT ALL ON $db.* TO $user@'%';"
        fi
    fi
}

# Runs /docker-entrypoint-initdb.d on a server that listens on its socket only.
init_scripts() {
    local file pid
    "$@" --datadir=$fresh --socket=$socket --skip-networking &
    pid=$!
    until MARIADB_DATABASE='' docker_process_sql -e 'SELECT 1' > /dev/null 2>&1; do
        kill -0 $pid 2> /dev/null || fail "the server for /docker-entrypoint-initdb.d ended, its last words are above"
        sleep 0.05
    done
    for file in /docker-entrypoint-initdb.d/*; do
        say "running $file"
        case $file in
        *.sh)
            if [ -x "$file" ]; then
                "$file"
            else
                # shellcheck source=/dev/null
                . "$file"
            fi
            ;;
        *.sql) docker_process_sql < "$file" ;;
        *.sql.gz) gunzip -c "$file" | docker_process_sql ;;
        *) say "ignoring $file, expected .sh, .sql or .sql.gz" ;;
        esac
    done
    kill $pid
    wait $pid
}

first_start() {
    local health
    for setting in ROOT_PASSWORD ROOT_HOST DATABASE USER PASSWORD RANDOM_ROOT_PASSWORD ALLOW_EMPTY_ROOT_PASSWORD; do
        setting $setting
    done
    # The old spelling of the last has no ROOT in it.
    : "${MARIADB_ALLOW_EMPTY_ROOT_PASSWORD:=${MYSQL_ALLOW_EMPTY_PASSWORD-}}"
    : "${MARIADB_ROOT_HOST:=%}"
    if [ -z "$MARIADB_ROOT_PASSWORD$MARIADB_RANDOM_ROOT_PASSWORD$MARIADB_ALLOW_EMPTY_ROOT_PASSWORD" ]; then
        fail "no data yet and no root password option: expected one of MARIADB_ROOT_PASSWORD, MARIADB_RANDOM_ROOT_PASSWORD, MARIADB_ALLOW_EMPTY_ROOT_PASSWORD"
    fi
    if [ -n "$MARIADB_USER" ] && [ -z "$MARIADB_PASSWORD" ]; then
        fail "MARIADB_USER without MARIADB_PASSWORD"
    fi
    if [ -n "$MARIADB_RANDOM_ROOT_PASSWORD" ]; then
        MARIADB_ROOT_PASSWORD=$(head -c 24 /dev/urandom | base64)
        say "GENERATED ROOT PASSWORD: $MARIADB_ROOT_PASSWORD"
    fi

    rm -rf $fresh
    cp -R --sparse=always /usr/local/lib/mariadb-substitute/datadir $fresh
    health=$(head -c 24 /dev/urandom | base64)
    (umask 077 && printf '[client]\nuser=healthcheck\npassword="%s"\n' "$health" > $fresh/.my-healthcheck.cnf)
    accounts "$health" | "$@" --datadir=$fresh --bootstrap --log-warnings=1
    local scripts=(/docker-entrypoint-initdb.d/*)
    if [ ${#scripts[@]} -gt 0 ]; then
        init_scripts "$@"
    fi
    # "mysql" last: it is what marks a finished data directory.
    find $fresh -mindepth 1 -maxdepth 1 ! -name mysql -exec mv -t $data {} +
    mv $fresh/mysql $data/
    rmdir $fresh
}

case ${1-} in
-*) set -- mariadbd "$@" ;;
esac

if [ "${1-}" = mariadbd ] || [ "${1-}" = mysqld ]; then
    if [ "$(id -u)" = 0 ]; then
        find $data ! -user mysql -exec chown mysql:mysql {} +
        exec setpriv --reuid=mysql --regid=mysql --init-groups "$0" "$@"
    fi
    if [ ! -d $data/mysql ]; then
        # A subshell keeps what the first start needs to know out of the server's own environment.
        (first_start "$@")
    fi
fi
exec "$@"
