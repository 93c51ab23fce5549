#!/bin/bash
as() { setpriv --reuid=1000 --regid=1000 --clear-groups "$@"; }
mkdir -p /data/config /data/plugins /data/misc/user /data/tmp && chown -R matomo: /data
if [ ! -f /data/config/config.ini.php ] && [ -f /var/www/matomo/config/config.ini.php ]; then as cp /var/www/matomo/config/config.ini.php /data/config/; fi
ln -sf /data/config/config.ini.php /var/www/matomo/config/config.ini.php
ln -sf /data/plugins /var/www/matomo/data-plugins
as mkdir -p /data/tmp/js
if [ -L /var/www/matomo/js ]; then unlink /var/www/matomo/js; else as cp -a /var/www/matomo/js/. /data/tmp/js/; rm -rf /var/www/matomo/js; fi
ln -sf /data/tmp/js /var/www/matomo/js
[ -L /var/www/matomo/misc/user ] || rm -rf /var/www/matomo/misc/user
ln -sfn /data/misc/user /var/www/matomo/misc/user
[ -L /var/www/matomo/tmp ] || rm -rf /var/www/matomo/tmp
ln -sfn /data/tmp /var/www/matomo/tmp
if [ -f /data/config/config.ini.php ]; then
  as php console config:set --section=log --key=log_level --value=WARN
  as php console core:update --yes --no-interaction
  as php console config:set --section=General --key=minimum_memory_limit --value=-1
fi
as php-fpm$(ls /etc/php | head -1) -F &
exec setpriv --reuid=1000 --regid=1000 --clear-groups nginx -g 'daemon off;'
