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

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
of_the_code=$work/code
(cd /usr/src/matomo && find config misc js -type f) > "$of_the_code"
# As its user, or the web server could not change what it gets back. config.ini.php under another name
# first: a page that finds it half written takes this for a Matomo that is not installed.
own=config/config.ini.php

# What was lost or changed since the backup. The code's own files stay as they are in the image, and
# config.ini.php may have been made to fit another place.
manifest=$saved/backup-manifest.txt
if [ -e "$manifest" ]; then
    sed -n 's/^file //p' "$manifest" |
        awk -v own="$own" 'NR == FNR { code[$0]; next } { path = substr($0, 67) } path ~ /^(config|misc|js)\// && path != own && !(path in code)' \
            "$of_the_code" - > "$work/sums"
    # One that has nothing but code beside config.ini.php has nothing to be compared.
    if { [ -s "$work/sums" ] || ! grep -q "^file .*  $own\$" "$manifest"; } && ! (cd "$saved" && sha256sum --quiet -c "$work/sums") > "$work/damaged" 2>&1; then
        echo "restore-data.sh: expected the backup in $saved as it was made, seen: $(head -n 3 "$work/damaged" | tr '\n' ' ')and nothing was changed. Next: another backup, or take $manifest away to restore what is left of this one" >&2
        exit 1
    fi
fi

(cd "$saved" && find config misc js -type f) | grep -vxF -f "$of_the_code" > "$work/files"
# By a file: of a pipe, only its end says that it failed.
tar cf "$work/saved.tar" -C "$saved" --transform "s|^$own\$|$own.new|" --files-from="$work/files"
as-web-user tar xf - -C "$target" < "$work/saved.tar"
as-web-user mv "$target/$own.new" "$target/$own"
as-web-user php "$target/console" core:clear-caches
as-web-user php "$target/console" custom-matomo-js:update
echo "restore-data.sh: config, misc and js are back in $target"
