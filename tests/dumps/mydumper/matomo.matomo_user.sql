/*!40101 SET NAMES binary*/;
/*!40014 SET FOREIGN_KEY_CHECKS=0*/;
/*!40103 SET TIME_ZONE='+00:00' */;
INSERT INTO `matomo_user` VALUES
("anonymous","","anonymous@example.org","",0,"2023-03-27 20:04:32","2023-03-27 20:04:32",NULL,NULL,NULL,NULL,NULL,NULL),
("root","$2y$10$abcdefghijklmnopqrstuuJ0Vb8W6rN2yq1m3s5t7u9w1x3y5z7A.","admin@example.org","",1,"2023-03-27 20:04:47","2023-03-27 20:04:47",NULL,NULL,NULL,NULL,NULL,NULL);
