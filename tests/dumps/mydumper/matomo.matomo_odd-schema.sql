/*!40101 SET NAMES binary*/;
/*!40014 SET FOREIGN_KEY_CHECKS=0*/;

/*!40103 SET TIME_ZONE='+00:00' */;
CREATE TABLE `matomo_odd` (
  `id` int(10) unsigned NOT NULL AUTO_INCREMENT,
  `a b;x` varchar(255) DEFAULT 'it''s; \\ "x" -- # /*' COMMENT 'utf8mb4_0900_ai_ci; DEFINER=`x`@`y`',
  `raw` longblob DEFAULT NULL,
  `doubled` int(11) GENERATED ALWAYS AS (`hidden` * 2) STORED,
  `hidden` int(11) INVISIBLE DEFAULT 7,
  `j` longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL CHECK (json_valid(`j`)),
  PRIMARY KEY (`id`),
  KEY `by_b` (`a b;x`)
) ENGINE=InnoDB AUTO_INCREMENT=6 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci ROW_FORMAT=COMPRESSED;
