<?php

/**
 * @license https://www.gnu.org/licenses/gpl-3.0.html GPL v3 or later
 */

namespace Piwik\Plugins\QueuedHits\Commands;

use Piwik\Application\Environment;
use Piwik\Common;
use Piwik\Db;
use Piwik\Exception\InvalidRequestParameterException;
use Piwik\Exception\UnexpectedWebsiteFoundException;
use Piwik\Plugin\ConsoleCommand;
use Piwik\Tracker;
use Piwik\Tracker\RequestSet;

/** Stores the hits that wait, in the order in which they came. */
class Process extends ConsoleCommand
{
    protected function configure()
    {
        $this->setName('queuedhits:process');
        $this->setDescription('Stores the hits that wait.');
    }

    protected function doExecute(): int
    {
        $environment = new Environment('tracker');
        $environment->init();
        Tracker::loadTrackerEnvironment();
        $own = new RequestSet();
        $own->rememberEnvironment();
        $table = Common::prefixTable('queued_hits');
        $tracker = new Tracker();
        $rows = Db::fetchAll("SELECT id, state FROM $table WHERE done = 0 ORDER BY id");
        foreach ($rows as $row) {
            $waiting = new RequestSet();
            $waiting->restoreState(json_decode($row['state'], true));
            $waiting->restoreEnvironment();
            foreach ($waiting->getRequests() as $request) {
                try {
                    $tracker->trackRequest($request);
                } catch (InvalidRequestParameterException | UnexpectedWebsiteFoundException $refused) {
                    continue;
                }
            }
            Db::query("DELETE FROM $table WHERE id = ?", [$row['id']]);
        }
        $own->restoreEnvironment();
        $environment->destroy();
        $this->getOutput()->writeln(count($rows) . ' stored');
        return self::SUCCESS;
    }
}
