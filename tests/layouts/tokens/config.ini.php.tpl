; <?php exit; ?> DO NOT REMOVE THIS LINE
[database]
host = "{{DB_HOST}}"
username = "{{DB_USERNAME}}"
password = "{{DB_PASSWORD}}"
dbname = "{{DB_NAME}}"
tables_prefix = "matomo_"
charset = "utf8mb4"

[General]
salt = "{{MATOMO_SALT}}"
trusted_hosts[] = "stats.example.edu"
proxy_client_headers[] = "HTTP_X_FORWARDED_FOR"
proxy_host_headers[] = "HTTP_X_FORWARDED_HOST"
proxy_scheme_headers[] = "HTTP_X_FORWARDED_PROTO"
assume_secure_protocol = 1
force_ssl = 1
enable_browser_archiving_triggering = 0
enable_auto_update = 0
