<?php

/**
 * @license https://www.gnu.org/licenses/gpl-3.0.html GPL v3 or later
 */

namespace Piwik\Plugins\NoUserIds\Tracker;

use Piwik\Tracker\Request;

/**
 * Takes out of the list of refused hits whose they were, as Matomo does with tokens.
 *
 * Matomo keeps a hit for a site that is not there, or without the token that it needs, as it came,
 * for two days (core/Tracker/Failures.php): with its user id, and with a whole address in `cip`.
 * No RequestProcessor sees it.
 */
class Failures extends \Piwik\Tracker\Failures
{
    private const WHOSE = ['uid' => '__USER_ID__', 'cip' => '__VISITOR_IP__'];

    public function logFailure($idFailure, Request $request)
    {
        $params = $request->getRawParams();
        $known = array_intersect_key(self::WHOSE, $params);
        // A copy: a new Request would ask for its authentication anew, and be refused and logged anew.
        $nobodys = clone $request;
        (new \ReflectionProperty(Request::class, 'rawParams'))->setValue($nobodys, array_replace($params, $known));
        parent::logFailure($idFailure, $nobodys);
    }
}
