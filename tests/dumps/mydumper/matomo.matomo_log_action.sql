/*!40101 SET NAMES binary*/;
/*!40014 SET FOREIGN_KEY_CHECKS=0*/;
/*!40103 SET TIME_ZONE='+00:00' */;
INSERT INTO `matomo_log_action` VALUES
(1,"example.org/a?b=c;d",4222709897,1,2),
(2,"It\'s a title",3259245185,4,NULL);
