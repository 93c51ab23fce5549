<?php

/**
 * @license https://www.gnu.org/licenses/gpl-3.0.html GPL v3 or later
 */

namespace Piwik\Plugins\EnvironmentVariables;

/** One environment variable that sets one key of the configuration. */
final class Override
{
    /**
     * @param string $variable name in the environment
     * @param string $section configuration section, in the configuration's own spelling
     * @param string $key key in the section, in the configuration's own spelling
     * @param string|array $value a list where the key holds a list
     * @param bool $inFile whether config.ini.php sets the key as well, and so is shadowed
     */
    public function __construct(
        public readonly string $variable,
        public readonly string $section,
        public readonly string $key,
        public readonly string|array $value,
        public readonly bool $inFile
    ) {
    }
}
