#!/bin/sh
# Contract: matomo-harness 1 (image/README.md)
#
# Copies what backup-data.sh saved back into the web root: from the EFS mount, or from the directory
# given.
#
# Of config, misc and js only what is not code: a backup of another version's global.ini.php over
# this image's code would be neither. The tracker files are made anew, with the plugins' parts.
set -eu

saved=${1:-/mnt/efs}
target=/var/www/html

for part in config/config.ini.php misc js; do
    if [ ! -e "$saved/$part" ]; then
        echo "restore-data.sh: expected a backup in $saved, seen no $part in it. Next: name the directory that backup-data.sh wrote to: restore-data.sh DIRECTORY" >&2
        exit 2
    fi
done
if [ ! -e "$target/matomo.php" ]; then
    echo "restore-data.sh: expected Matomo in $target, seen none. Next: run it in the web container" >&2
    exit 2
fi

of_the_code=$(mktemp)
trap 'rm -f "$of_the_code"' EXIT
(cd /usr/src/matomo && find config misc js -type f) > "$of_the_code"
# As its user, or the web server could not change what it gets back. config.ini.php under another name
# first: a page that finds it half written takes this for a Matomo that is not installed.
own=config/config.ini.php
(cd "$saved" && find config misc js -type f) | grep -vxF -f "$of_the_code" |
    tar cf - -C "$saved" --transform "s|^$own\$|$own.new|" --files-from=- | as-web-user tar xf - -C "$target"
as-web-user mv "$target/$own.new" "$target/$own"
as-web-user php "$target/console" core:clear-caches
as-web-user php "$target/console" custom-matomo-js:update
echo "restore-data.sh: config, misc and js are back in $target"
