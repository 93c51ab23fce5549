<?php

/**
 * @license https://www.gnu.org/licenses/gpl-3.0.html GPL v3 or later
 */

namespace Piwik\Plugins\EnvironmentVariables;

/** Why a variable has no effect on the configuration. */
final class SetsNothing extends \Exception
{
}
