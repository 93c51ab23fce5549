; <?php exit; ?> DO NOT REMOVE THIS LINE
[database]
host = "${MATOMO_DATABASE_HOST}"
port = "${MATOMO_DATABASE_PORT}"
username = "${MATOMO_DATABASE_USERNAME}"
password = "${MATOMO_DATABASE_PASSWORD}"
dbname = "${MATOMO_DATABASE_DBNAME}"
tables_prefix = "matomo_"
charset = "utf8mb4"

[General]
salt = "1fb1b8d4d0a2d4c2b7d4e8c6f0a1b2c3"
trusted_hosts[] = "analytics.example.org"
proxy_client_headers[] = "HTTP_X_FORWARDED_FOR"
assume_secure_protocol = 1
