<?php

/**
 * @license https://www.gnu.org/licenses/gpl-3.0.html GPL v3 or later
 */

namespace Piwik\Plugins\EnvironmentVariables\Commands;

use Piwik\Plugin\ConsoleCommand;
use Piwik\Plugins\EnvironmentVariables\Diagnostic\DatabaseTlsCheck;
use Piwik\Plugins\EnvironmentVariables\Environment;

/** Names what each MATOMO_ variable sets, never its value; fails when one sets nothing sensible. */
class Check extends ConsoleCommand
{
    protected function configure()
    {
        $this->setName('environmentvariables:check');
        $this->setDescription('Tells what each MATOMO_ variable of the environment sets, and which set nothing.');
    }

    protected function doExecute(): int
    {
        $environment = Environment::ofThisProcess();
        foreach ($environment->overrides as $override) {
            $shadowed = $override->inFile ? ' (config.ini.php sets it too: the environment wins)' : '';
            $this->getOutput()->writeln("{$override->variable} sets [{$override->section}] {$override->key}$shadowed");
        }
        foreach ($environment->warnings as $variable => $warning) {
            $this->getOutput()->writeln("WARNING $variable $warning");
        }
        $cipher = DatabaseTlsCheck::cipher();
        $this->getOutput()->writeln('The database is spoken to ' . ($cipher ? "by TLS, $cipher" : 'in clear text'));
        return $environment->warnings ? self::FAILURE : self::SUCCESS;
    }
}
