-- phpMyAdmin SQL Dump
-- version 5.2.1
-- https://www.phpmyadmin.net/
--
-- Host: localhost:3306
-- Generation Time: Jan 02, 2026 at 03:04 AM
-- Server version: 10.6.12-MariaDB-0ubuntu0.22.04.1
-- PHP Version: 8.1.2

SET SQL_MODE = "NO_AUTO_VALUE_ON_ZERO";
START TRANSACTION;
SET time_zone = "+00:00";


/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;
/*!40101 SET @OLD_CHARACTER_SET_RESULTS=@@CHARACTER_SET_RESULTS */;
/*!40101 SET @OLD_COLLATION_CONNECTION=@@COLLATION_CONNECTION */;
/*!40101 SET NAMES utf8mb4 */;

--
-- Database: `matomo`
--
CREATE DATABASE IF NOT EXISTS `matomo` DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci;
USE `matomo`;

-- --------------------------------------------------------

--
-- Table structure for table `piwik_log_visit`
--

DROP TABLE IF EXISTS `piwik_log_visit`;
CREATE TABLE IF NOT EXISTS `piwik_log_visit` (
  `idvisit` bigint(10) UNSIGNED NOT NULL,
  `idsite` int(10) UNSIGNED NOT NULL,
  `idvisitor` binary(8) NOT NULL,
  `user_id` varchar(200) DEFAULT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

--
-- Dumping data for table `piwik_log_visit`
--

INSERT INTO `piwik_log_visit` (`idvisit`, `idsite`, `idvisitor`, `user_id`) VALUES
(1, 1, 0x275c000a0d1a2260, 'o\'neill; -- # /*'),
(2, 1, 0x0102030405060708, NULL);

-- --------------------------------------------------------

--
-- Table structure for table `piwik_option`
--

DROP TABLE IF EXISTS `piwik_option`;
CREATE TABLE IF NOT EXISTS `piwik_option` (
  `option_name` varchar(191) NOT NULL,
  `option_value` longtext NOT NULL,
  `autoload` tinyint(4) NOT NULL DEFAULT 1
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

--
-- Dumping data for table `piwik_option`
--

INSERT INTO `piwik_option` (`option_name`, `option_value`, `autoload`) VALUES
('version_core', '5.1.2', 1),
('version_CoreHome', '5.1.2', 1);

-- --------------------------------------------------------

--
-- Table structure for table `piwik_site`
--

DROP TABLE IF EXISTS `piwik_site`;
CREATE TABLE IF NOT EXISTS `piwik_site` (
  `idsite` int(10) UNSIGNED NOT NULL,
  `name` varchar(90) NOT NULL,
  `main_url` varchar(255) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

--
-- Dumping data for table `piwik_site`
--

INSERT INTO `piwik_site` (`idsite`, `name`, `main_url`) VALUES
(1, 'It''s \"an\" example', 'https://www.example.org');

-- --------------------------------------------------------

--
-- Table structure for table `piwik_user`
--

DROP TABLE IF EXISTS `piwik_user`;
CREATE TABLE IF NOT EXISTS `piwik_user` (
  `login` varchar(100) NOT NULL,
  `email` varchar(100) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

--
-- Dumping data for table `piwik_user`
--

INSERT INTO `piwik_user` (`login`, `email`) VALUES
('anonymous', 'anonymous@example.org');

--
-- Indexes for dumped tables
--

--
-- Indexes for table `piwik_log_visit`
--
ALTER TABLE `piwik_log_visit`
  ADD PRIMARY KEY (`idvisit`);

--
-- Indexes for table `piwik_option`
--
ALTER TABLE `piwik_option`
  ADD PRIMARY KEY (`option_name`),
  ADD KEY `autoload` (`autoload`);

--
-- AUTO_INCREMENT for dumped tables
--

--
-- AUTO_INCREMENT for table `piwik_log_visit`
--
ALTER TABLE `piwik_log_visit`
  MODIFY `idvisit` bigint(10) UNSIGNED NOT NULL AUTO_INCREMENT, AUTO_INCREMENT=3;
COMMIT;

/*!40101 SET CHARACTER_SET_CLIENT=@OLD_CHARACTER_SET_CLIENT */;
/*!40101 SET CHARACTER_SET_RESULTS=@OLD_CHARACTER_SET_RESULTS */;
/*!40101 SET COLLATION_CONNECTION=@OLD_COLLATION_CONNECTION */;
