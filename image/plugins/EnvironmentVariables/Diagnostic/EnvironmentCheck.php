<?php

/**
 * @license https://www.gnu.org/licenses/gpl-3.0.html GPL v3 or later
 */

namespace Piwik\Plugins\EnvironmentVariables\Diagnostic;

use Piwik\Plugins\Diagnostics\Diagnostic\Diagnostic;
use Piwik\Plugins\Diagnostics\Diagnostic\DiagnosticResult;
use Piwik\Plugins\EnvironmentVariables\Environment;

/** System check: variables of the environment that do not do what they look like. */
class EnvironmentCheck implements Diagnostic
{
    public function execute()
    {
        $label = 'Environment variables';
        $warnings = [];
        foreach (Environment::ofThisProcess()->warnings as $variable => $warning) {
            $warnings[] = htmlspecialchars("$variable $warning");
        }
        return [$warnings
            ? DiagnosticResult::singleResult($label, DiagnosticResult::STATUS_WARNING, implode('<br/>', $warnings))
            : DiagnosticResult::singleResult($label, DiagnosticResult::STATUS_OK)];
    }
}
