/*!40101 SET NAMES binary*/;
/*!40014 SET FOREIGN_KEY_CHECKS=0*/;
/*!40103 SET TIME_ZONE='+00:00' */;
INSERT INTO `matomo_option` VALUES
("version_Actions","4.14.1",1),
("version_Annotations","4.14.1",1),
("version_API","4.14.1",1),
("version_BulkTracking","4.14.1",1),
("version_Contents","4.14.1",1),
("version_core","4.14.1",1),
("version_CoreAdminHome","4.14.1",1),
("version_CoreConsole","4.14.1",1),
("version_CoreHome","4.14.1",1),
("version_CorePluginsAdmin","4.14.1",1),
("version_CoreUpdater","4.14.1",1),
("version_CoreVisualizations","4.14.1",1),
("version_CoreVue","4.14.1",1),
("version_CustomDimensions","4.14.1",1),
("version_CustomJsTracker","4.14.1",1);
