CREATE TABLE {prefix}queuedtracking_queue (
  queue_key VARCHAR(70) NOT NULL,
  queue_value VARCHAR(255) NULL DEFAULT NULL,
  expiry_time BIGINT UNSIGNED DEFAULT 9999999999,
  UNIQUE unique_queue_key (queue_key)
);
CREATE TABLE {prefix}queuedtracking_list_trackingQueueV1 (
  idqueuelist BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  list_value LONGBLOB NULL DEFAULT NULL,
  PRIMARY KEY (idqueuelist)
);
INSERT INTO {prefix}queuedtracking_queue VALUES ('QueuedTrackingLock0', 'x', 1);
INSERT INTO {prefix}queuedtracking_list_trackingQueueV1 (list_value)
  VALUES ('{"requests":[{"cip":"203.0.113.77","uid":"katherine.johnson@library.example.edu"}]}');
CREATE TABLE {prefix}loancards_card (
  idcard INT UNSIGNED NOT NULL AUTO_INCREMENT,
  owner_login VARCHAR(100) NOT NULL,
  email VARCHAR(100) NOT NULL,
  last_ip VARCHAR(45),
  binary_ip VARBINARY(16),
  phone VARCHAR(30),
  note TEXT,
  lent SMALLINT NOT NULL DEFAULT 0,
  since DATETIME NOT NULL,
  PRIMARY KEY (idcard),
  UNIQUE KEY by_mail (email)
) DEFAULT CHARSET=latin1;
CREATE TABLE {prefix}loancards_desk (iddesk INT NOT NULL, opened DATETIME, PRIMARY KEY (iddesk)) ENGINE=MyISAM;
INSERT INTO {prefix}loancards_card (owner_login, email, last_ip, binary_ip, phone, note, lent, since) VALUES
  ('katherine.johnson', 'katherine.johnson@library.example.edu', '203.0.113.77', INET6_ATON('203.0.113.77'),
   '555-0199', 'Ask katherine.johnson, at 203.0.113.77', 3, '2026-01-31 12:00:00'),
  ('someone', 'someone@example.org', '2001:db8::7', NULL, NULL, NULL, 4, '2026-02-01 12:00:00');
INSERT INTO {prefix}loancards_desk VALUES (1, '2026-01-31 08:00:00'), (2, NULL);
UPDATE {prefix}user SET twofactor_secret = 'JBSWY3DPEHPK3PXP' WHERE login = 'katherine.johnson';
INSERT INTO {prefix}twofactor_recovery_code (login, recovery_code)
  VALUES ('katherine.johnson', 'JBSWY3DPEHPK3PXP');
UPDATE {prefix}log_visit SET location_ip = INET6_ATON('203.0.113.77'),
  referer_url = 'https://mail.example/?from=katherine.johnson@library.example.edu' ORDER BY idvisit LIMIT 5;
