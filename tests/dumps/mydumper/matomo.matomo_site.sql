/*!40101 SET NAMES binary*/;
/*!40014 SET FOREIGN_KEY_CHECKS=0*/;
/*!40103 SET TIME_ZONE='+00:00' */;
INSERT INTO `matomo_site` VALUES
(1,"Example site","https://www.example.org","2023-03-27 20:05:03",0,1,"","","UTC","USD",0,"","","","","","website",0,"anonymous");
