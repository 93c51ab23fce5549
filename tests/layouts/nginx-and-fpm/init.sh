#!/bin/bash
set -e
if [ ! -d /data/config ]; then cp -a /var/www/matomo/.config-dist /data/config; chown -R www-data: /data; fi
php-fpm$(ls /etc/php | head -1) -F &
exec nginx -g 'daemon off;'
