#!/bin/sh
# Contract: matomo-harness 1 (image/README.md)
#
# Copies what an image cannot bring back (config, misc, js and the two tracker files that plugins
# write into) to the EFS mount, or to the directory given.
#
# Each part is copied beside the old one and renamed, so that a copy that breaks off leaves the
# last whole one. Restore: copy the parts back into /var/www/html.
set -eu

target=${1:-/mnt/efs}
source=/var/www/html

if [ ! -d "$target" ] || [ ! -w "$target" ]; then
    echo "backup-data.sh: expected a writable directory at $target, seen none. Next: mount EFS there, or name another: backup-data.sh DIRECTORY" >&2
    exit 2
fi
if [ ! -e "$source/matomo.php" ]; then
    echo "backup-data.sh: expected Matomo in $source, seen none. Next: run it in the web container" >&2
    exit 2
fi

for part in config misc js matomo.js piwik.js; do
    rm -rf "$target/$part.new"
    # EFS's access point decides the owner, whatever a copy asks for.
    cp -R --preserve=mode,timestamps,links "$source/$part" "$target/$part.new"
    rm -rf "$target/$part.old"
    if [ -e "$target/$part" ]; then mv "$target/$part" "$target/$part.old"; fi
    mv "$target/$part.new" "$target/$part"
    rm -rf "$target/$part.old"
done
echo "backup-data.sh: config, misc, js, matomo.js and piwik.js are in $target"
