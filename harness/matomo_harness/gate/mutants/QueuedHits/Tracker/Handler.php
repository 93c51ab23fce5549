<?php

/**
 * @license https://www.gnu.org/licenses/gpl-3.0.html GPL v3 or later
 */

namespace Piwik\Plugins\QueuedHits\Tracker;

use Piwik\Common;
use Piwik\Db;
use Piwik\Tracker;
use Piwik\Tracker\RequestSet;

/** Stores hits as they came; a command processes them later. */
class Handler extends Tracker\Handler
{
    public function __construct(?Tracker\Handler $instead)
    {
        parent::__construct();
        if ($instead) {
            $this->setResponse($instead->getResponse());  // of a bulk request, which is JSON
        }
    }

    public function process(Tracker $tracker, RequestSet $requestSet)
    {
        $state = $requestSet->getState();
        Db::query('INSERT INTO ' . Common::prefixTable('queued_hits') . ' (state) VALUES (?)', [json_encode($state)]);
        $tracker->setCountOfLoggedRequests($requestSet->getNumberOfRequests());
    }
}
