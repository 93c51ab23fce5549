<?php

/**
 * @license https://www.gnu.org/licenses/gpl-3.0.html GPL v3 or later
 */

use Piwik\Application\Kernel\GlobalSettingsProvider;
use Piwik\Plugins\EnvironmentVariables\Diagnostic\DatabaseTlsCheck;
use Piwik\Plugins\EnvironmentVariables\Diagnostic\EnvironmentCheck;
use Piwik\Plugins\EnvironmentVariables\Environment;

// Where Matomo finds its classes by a static map, as in Debian's package, it finds no added plugin's.
spl_autoload_register(function (string $class): void {
    $namespace = 'Piwik\\Plugins\\EnvironmentVariables\\';
    if (str_starts_with($class, $namespace)) {
        $file = dirname(__DIR__) . '/' . strtr(substr($class, strlen($namespace)), '\\', '/') . '.php';
        if (is_file($file)) {
            require_once $file;
        }
    }
});

return [
    'Piwik\Config' => Piwik\DI::decorate(function ($config, $container) {
        $environment = Environment::read($container->get(GlobalSettingsProvider::class));
        foreach ($environment->overrides as $override) {
            $section = $config->{$override->section};
            $section[$override->key] = $override->value;
            $config->{$override->section} = $section;
        }
        // Once for each start of the server, where somebody reads: the container's log. Never from
        // the command line, whose error stream core:archive reads as the answers of its children.
        if ($environment->warnings && PHP_SAPI !== 'cli' && function_exists('apcu_add')) {
            if (apcu_add('EnvironmentVariables.warned', 1)) {
                foreach ($environment->warnings as $variable => $warning) {
                    error_log("EnvironmentVariables: $variable $warning");
                }
            }
        }
        return $config;
    }),

    'diagnostics.optional' => Piwik\DI::add([
        Piwik\DI::get(EnvironmentCheck::class),
        Piwik\DI::get(DatabaseTlsCheck::class),
    ]),
];
