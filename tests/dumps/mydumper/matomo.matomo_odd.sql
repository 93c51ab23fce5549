/*!40101 SET NAMES binary*/;
/*!40014 SET FOREIGN_KEY_CHECKS=0*/;
/*!40103 SET TIME_ZONE='+00:00' */;
INSERT INTO `matomo_odd` (`id`,`a b;x`,`raw`,`hidden`,`j`) VALUES
(1,"quote \' and \"double\" and `back`","\0\Z\\\'\"`\n\r",7,"{\"a\":\"b; c\"}"),
(2,"ends in a backslash \\",NULL,7,NULL),
(3,"; DROP DATABASE x;\n\\! touch /tmp/x\nsource /etc/passwd\nDELIMITER ;;\n","x",7,NULL),
(4,"/*! 1 */ /* open","-- Dump completed",7,NULL),
(5,"æ—¥æœ¬èªž ðŸ˜€ Ã©","ÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿ",7,NULL);
