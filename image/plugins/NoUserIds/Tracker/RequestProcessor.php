<?php

/**
 * @license https://www.gnu.org/licenses/gpl-3.0.html GPL v3 or later
 */

namespace Piwik\Plugins\NoUserIds\Tracker;

use Piwik\Tracker\Request;

/**
 * Empties `uid` before any other part of Matomo looks at the hit.
 *
 * The column log_visit.user_id is CoreHome's (CoreHome/Columns/UserId.php), so that switching the
 * UserId plugin off takes away a report and not the collection; and a visitor's id would be a hash
 * of the user id (Tracker/Request::getVisitorId).
 */
class RequestProcessor extends \Piwik\Tracker\RequestProcessor
{
    public function manipulateRequest(Request $request)
    {
        $request->setParam('uid', '');
    }
}
