<?php

/**
 * @license https://www.gnu.org/licenses/gpl-3.0.html GPL v3 or later
 */

namespace Piwik\Plugins\EnvironmentVariables;

use Piwik\Config;

class EnvironmentVariables extends \Piwik\Plugin
{
    /** A tracker request can save the configuration too, when it installs a new plugin. */
    public function isTrackerPlugin()
    {
        return true;
    }

    public function registerEvents()
    {
        return ['Config.beforeSave' => 'keepEnvironmentOutOfTheFile'];
    }

    /**
     * Gives every overridden key back what config.ini.php itself says, or nothing.
     *
     * @param array $values sections about to be written
     */
    public function keepEnvironmentOutOfTheFile(&$values)
    {
        foreach (Environment::ofThisProcess()->overrides as $override) {
            $inFile = Config::getInstance()->getFromLocalConfig($override->section) ?? [];
            if (array_key_exists($override->key, $inFile)) {
                $values[$override->section][$override->key] = $inFile[$override->key];
            } else {
                unset($values[$override->section][$override->key]);
            }
        }
    }
}
