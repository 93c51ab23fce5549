; <?php exit; ?> DO NOT REMOVE THIS LINE
[database]
host = "$MATOMO_DATABASE_HOST"
port = "$MATOMO_DATABASE_PORT_NUMBER"
username = "$MATOMO_DATABASE_USER"
password = "$MATOMO_DATABASE_PASSWORD"
dbname = "$MATOMO_DATABASE_NAME"
tables_prefix = "matomo_"
enable_ssl = $MATOMO_DATABASE_ENABLE_SSL

[General]
salt = "$MATOMO_SALT"
proxy_client_headers[] = "HTTP_X_FORWARDED_FOR"
force_ssl = $MATOMO_GENERAL_FORCE_SSL
assume_secure_protocol = $MATOMO_GENERAL_ASSUME_SECURE_PROTOCOL
