#!/bin/sh
# healthcheck.sh [--connect] [--innodb_initialized]: exit 0 when all that was asked for holds.
# Over TCP only: the server of the first start's preparation does not listen there.

# Made at the first start; a data directory without it (an old one) can still be asked whether it answers.
login=/var/lib/mysql/.my-healthcheck.cnf

ask() {
    if [ -f $login ]; then
        mariadb --defaults-extra-file=$login --protocol=tcp --host=127.0.0.1 --skip-ssl-verify-server-cert --batch --skip-column-names -e "$1" 2>&1
    else
        mariadb --no-defaults --user=healthcheck --protocol=tcp --host=127.0.0.1 --skip-ssl-verify-server-cert --batch --skip-column-names -e "$1" 2>&1
    fi
}

[ $# -gt 0 ] || set -- --connect
for test in "$@"; do
    case $test in
    --connect)
        case $(ask 'SELECT 1') in
        1 | *'ERROR 1045 '* | *'ERROR 4151 '*) ;; # a refusal is an answer
        *) exit 1 ;;
        esac
        ;;
    --innodb_initialized)
        [ "$(ask "SELECT 1 FROM information_schema.ENGINES WHERE engine = 'InnoDB' AND support IN ('YES', 'DEFAULT')")" = 1 ] || exit 1
        ;;
    *)
        echo "healthcheck.sh: expected --connect or --innodb_initialized, seen $test" >&2
        exit 2
        ;;
    esac
done
