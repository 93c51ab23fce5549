# shellcheck shell=sh disable=SC1091,SC2012
# Prints what there is to know of an image or a running container that has Matomo: lines of a key, a
# tab and a value. Its arguments are the working directory and the words that the image starts. It needs
# sh, and find, grep and sed as busybox has them.
say() { printf '%s\t%s\n' "$1" "$2"; }

everywhere() { find / \( -path /proc -o -path /sys -o -path /dev -o -path /golden \) -prune -o "$@" -print 2>/dev/null; }

code=
for file in $(everywhere -name matomo.php -type f); do
    directory=${file%/matomo.php}
    [ -f "$directory/core/Version.php" ] || continue
    code="$code $directory"
    # Plugins may be in other places as well, as pairs of a path and an address.
    places=$(printf %s "${MATOMO_PLUGIN_DIRS:-}" | tr ':' '\n' | sed 's/;.*//')
    say plugins "$directory $({ ls "$directory/plugins"; printf '%s\n' "$places" | while read -r place; do ls "$place"; done; } 2>/dev/null | tr '\n' ' ')"
    say matomo "$directory $(sed -n "s/.*const VERSION = '\([^']*\)'.*/\1/p" "$directory/core/Version.php")"
done
say php "$(php -n -r 'echo PHP_VERSION;' 2>/dev/null)"

for name in apache2 httpd nginx caddy frankenphp lighttpd; do
    command -v "$name" >/dev/null 2>&1 && say server "$name"
done
ls /usr/sbin/php-fpm* /usr/local/sbin/php-fpm* /usr/bin/php-fpm* 2>/dev/null | while read -r program; do say fpm "$program"; done
user=$(. /etc/apache2/envvars 2>/dev/null; echo "${APACHE_RUN_USER:-}")
for name in "$user" www-data apache nginx; do
    [ -n "$name" ] && id "$name" >/dev/null 2>&1 && say web_user "$name"
done

for directory in "$1" /var/www/html $code; do
    [ -d "$directory" ] || continue
    say directory "$directory $(stat -c '%u:%g:%a' "$directory") $(find "$directory" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l)"
done

everywhere -name '*config.ini.php*' -type f | while read -r file; do
    case $file in */tests/* | */vendor/*) continue ;; esac
    say config "$file"
done
# A template has another name, and the sections; it may be a text within a script.
{
    find / -maxdepth 1 -type f -size -64k -exec grep -lE '^[[:space:]]*\[(database|Plugins)\]' {} + 2>/dev/null
    for directory in /usr/src /usr/local /etc /opt /srv /app /templates /docker /config /tmp; do
        [ -d "$directory" ] || continue
        find "$directory" -type f -size -64k ! -path '*/vendor/*' ! -path '*/plugins/*' ! -path '*/core/*' ! -path '*/lang/*' \
            ! -path '*/node_modules/*' ! -path '*/tests/*' ! -path '*/libs/*' ! -path '*/js/*' \
            -exec grep -lE '^[[:space:]]*\[(database|Plugins)\]' {} + 2>/dev/null
    done
} | while read -r file; do
    case $file in *global.ini.php | *config.ini.php) continue ;; esac
    say template "$file"
done

# Names of variables that have to do with a database or a salt, in what the image starts and in the scripts
# that this calls or reads by their paths, or may call.
matches() { find -L "$2" -type f -size -64k -exec grep -ohE "$1" {} + 2>/dev/null; }
names() { grep -oE '[A-Z][A-Z0-9_]*' | grep -E 'DB|DATABASE|MYSQL|MARIADB|RDS|SALT'; }
{
    printf '%s\n' "$@" | names
    for word in "$@"; do
        file=$(command -v "$word" 2>/dev/null) || continue
        [ -f "$file" ] || continue
        matches '[A-Z][A-Z0-9_]*' "$file"
        for script in $(matches '/[A-Za-z0-9_./-]+[.]sh' "$file"); do
            [ -f "$script" ] && matches '[A-Z][A-Z0-9_]*' "$script"
        done
    done | names
    find / -maxdepth 1 -type f -size -64k -exec grep -ohE '[A-Z][A-Z0-9_]*' {} + 2>/dev/null | names
    for directory in /docker-entrypoint.d /docker-entrypoint-init.d /etc/cont-init.d /etc/s6-overlay /lagoon/entrypoints /usr/local/bin; do
        [ -d "$directory" ] && find "$directory" -type f -size -64k -exec grep -ohE '[A-Z][A-Z0-9_]*' {} + 2>/dev/null
    done | names
} | sort -u | while read -r name; do say name "$name"; done

programs() {
    {
        find /usr/local/bin /usr/local/sbin /opt /srv /app /scripts /root /home -maxdepth 3 -type f -size -64k -exec grep -lE "$1" {} + 2>/dev/null
        find / /usr/bin /usr/sbin -maxdepth 1 -type f -size -64k -exec grep -lE "$1" {} + 2>/dev/null
    } | while read -r program; do
        [ -x "$program" ] || continue # a crontab or a description names the command, too
        # Matomo's own code names its commands, too.
        for directory in $code; do
            case $program in "$directory"/*) continue 2 ;; esac
        done
        echo "$program"
    done
}
for program in $(programs '(core:archive|cron/archive\.php)'); do say archiver "$program"; done
for program in $(programs 'scheduled-tasks:run'); do say tasks "$program"; done
for program in $(programs 'disable-scheduled-tasks'); do say leaves_tasks_out "$program"; done
# Others have programs of such names that take other arguments.
for name in backup-data.sh restore-data.sh matomo-health check-config; do
    program=$(command -v "$name" 2>/dev/null) && grep -q 'Contract: matomo-harness 1' "$program" && say program "$name"
done
grep -rhE 'core:archive|cron/archive\.php' /etc/cron* /etc/crontabs /var/spool/cron 2>/dev/null | while read -r line; do
    say cron "$line"
done
exit 0
