<?php

/**
 * @license https://www.gnu.org/licenses/gpl-3.0.html GPL v3 or later
 */

namespace Piwik\Plugins\QueuedHits;

use Piwik\Plugins\QueuedHits\Tracker\Handler;

class QueuedHits extends \Piwik\Plugin
{
    public function registerEvents()
    {
        return ['Tracker.newHandler' => 'takeOver'];
    }

    public function isTrackerPlugin()
    {
        return true;
    }

    public function takeOver(&$handler)
    {
        $handler = new Handler($handler);
    }
}
