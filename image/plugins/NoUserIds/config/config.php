<?php

/**
 * @license https://www.gnu.org/licenses/gpl-3.0.html GPL v3 or later
 */

return [
    Piwik\Tracker\Failures::class => Piwik\DI::autowire(Piwik\Plugins\NoUserIds\Tracker\Failures::class),
];
