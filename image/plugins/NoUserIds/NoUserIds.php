<?php

/**
 * @license https://www.gnu.org/licenses/gpl-3.0.html GPL v3 or later
 */

namespace Piwik\Plugins\NoUserIds;

class NoUserIds extends \Piwik\Plugin
{
    public function isTrackerPlugin()
    {
        return true;
    }
}
