#!/bin/sh
# Contract: matomo-harness 1 (image/README.md)
#
# Copies what an image cannot bring back (config, misc, js and the two tracker files that plugins
# write into) to the EFS mount, or to the directory given, and lists in backup-manifest.txt what it
# copied, when, and what the copy does not hold.
#
# All parts are copied beside the old ones, and then renamed, so that a copy that breaks off leaves
# the last whole one. Restore: copy the parts back into /var/www/html.
set -eu

target=${1:-/mnt/efs}
source=/var/www/html
image=/usr/src/matomo
manifest=backup-manifest.txt
parts="config misc js matomo.js piwik.js"

if [ ! -d "$target" ] || [ ! -w "$target" ]; then
    echo "backup-data.sh: expected a writable directory at $target, seen none. Next: mount EFS there, or name another: backup-data.sh DIRECTORY" >&2
    exit 2
fi
# The image has the directory: without the mount a copy in it would end with the container.
if [ $# = 0 ] && ! mountpoint -q "$target"; then
    echo "backup-data.sh: expected a mount at $target, seen none: a copy would end with this container. Next: mount EFS there, or name another: backup-data.sh DIRECTORY" >&2
    exit 2
fi
if [ ! -e "$source/matomo.php" ]; then
    echo "backup-data.sh: expected Matomo in $source, seen none. Next: run it in the web container" >&2
    exit 2
fi

for part in $parts; do
    rm -rf "$target/$part.new"
    # EFS's access point decides the owner, whatever a copy asks for.
    cp -R --preserve=mode,timestamps,links "$source/$part" "$target/$part.new"
done

# Matomo empties its file before it writes it anew, as the first pages of a new task do.
own=config/config.ini.php
copied="$target/config.new/config.ini.php"
tries=0
until [ -s "$copied" ] && cmp -s "$source/$own" "$copied"; do
    tries=$((tries + 1))
    if [ "$tries" -gt 20 ]; then
        echo "backup-data.sh: expected $source/$own to be whole, seen none, an empty one, or another each time; the last backup stays. Next: look at the file, then the same command" >&2
        exit 1
    fi
    sleep 0.5
    cp --preserve=mode,timestamps "$source/$own" "$copied" 2>/dev/null || true
done

lacks() {
    echo "lacks the database: dump it within the same hour"
    if [ -n "${MATOMO_GENERAL_SALT:-}${MATOMO_GENERAL_SALT_FILE:-}" ]; then
        echo "lacks the salt: it is in the environment (MATOMO_GENERAL_SALT), so keep it with your secrets"
    fi
    if [ -n "${MATOMO_DATABASE_PASSWORD:-}${MATOMO_DATABASE_PASSWORD_FILE:-}" ]; then
        echo "lacks the password of the database: it is in the environment"
    fi
    for plugin in "$source"/plugins/*/; do
        name=$(basename "$plugin")
        if [ ! -d "$image/plugins/$name" ]; then echo "lacks the plugin $name: it is not in the image"; fi
    done
}

# The checksums are those of the copy: what is changed or lost on the way to a restore shows.
{
    echo "made $(date -u +%Y-%m-%dT%H:%M:%SZ)"
    echo "matomo $(sed -n "s/.*const VERSION *= *'\([^']*\)'.*/\1/p" "$source/core/Version.php")"
    lacks
    (cd "$target" && for part in $parts; do find "$part.new" -type f -exec sha256sum {} +; done) |
        sed 's|^\([0-9a-f]*  [^/]*\)\.new|file \1|'
} > "$target/$manifest.new"
for part in $parts; do
    rm -rf "$target/$part.old"
    if [ -e "$target/$part" ]; then mv "$target/$part" "$target/$part.old"; fi
    mv "$target/$part.new" "$target/$part"
done
mv "$target/$manifest.new" "$target/$manifest"
for part in $parts; do rm -rf "$target/$part.old"; done
echo "backup-data.sh: config, misc, js, matomo.js and piwik.js are in $target"
lacks | sed 's/^/backup-data.sh: it /'
