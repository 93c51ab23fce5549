#!/bin/sh
php-fpm$(ls /etc/php | head -1) -D
exec nginx -g 'daemon off;'
