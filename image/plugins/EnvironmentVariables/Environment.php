<?php

/**
 * @license https://www.gnu.org/licenses/gpl-3.0.html GPL v3 or later
 */

namespace Piwik\Plugins\EnvironmentVariables;

use Piwik\Application\Kernel\GlobalSettingsProvider;

/**
 * What the environment says of the configuration: MATOMO_<SECTION>_<KEY>=value.
 *
 * The contract is the public EnvironmentVariables plugin's (a key that any ini file names is
 * overridden by the upper-cased variable). Beyond it: lists, keys that no file names yet, values
 * in a file (MATOMO_<SECTION>_<KEY>_FILE), and a word on variables that set nothing.
 */
final class Environment
{
    /** What parse_ini_file makes of these words. */
    private const SWITCHES = ['true' => '1', 'on' => '1', 'yes' => '1', 'false' => '0', 'off' => '0', 'no' => '0'];

    /** Set by images and their entrypoints, or read by Matomo itself: not meant for the configuration. */
    private const NOT_OURS = ['MATOMO_VERSION', 'MATOMO_PLUGIN_DIRS', 'MATOMO_PLUGIN_COPY_DIR'];

    /** Matomo reads these before any plugin is there to change them. */
    private const READ_TOO_EARLY = ['Plugins', 'PluginsInstalled', 'Development'];

    private static ?Environment $ofThisProcess = null;

    /** @var Override[] */
    public readonly array $overrides;

    /** @var array<string, string> variable => why it does not do what it looks like */
    public readonly array $warnings;

    /**
     * @param array<string, string> $variables the environment
     * @param array<string, array> $settings the merged configuration
     * @param array<string, array> $fileSettings config.ini.php alone
     * @param string[] $plugins active plugins: each may have a section that no file names yet
     * @param string $documentation global.ini.php as text: its comments name further keys
     */
    public function __construct(
        array $variables,
        private readonly array $settings,
        private readonly array $fileSettings,
        private readonly array $plugins,
        private readonly string $documentation
    ) {
        $overrides = $warnings = [];
        ksort($variables);
        foreach (self::withoutServices($variables) as $variable => $value) {
            if (!str_starts_with($variable, 'MATOMO_') || in_array($variable, self::NOT_OURS)) {
                continue;
            }
            try {
                $overrides[] = $override = $this->override($variable, $value);
                if (!$this->isKnown($override)) {
                    $warnings[$variable] = $this->unknownKey($override);
                }
            } catch (SetsNothing $reason) {
                $warnings[$variable] = 'sets nothing: ' . $reason->getMessage();
            }
        }
        foreach (['database', 'database_reader'] as $section) {
            if ($this->wouldSpeakClearText($section, $overrides)) {
                $variable = 'MATOMO_' . strtoupper($section) . '_ENABLE_SSL';
                $authorities = openssl_get_cert_locations()['default_cert_dir'];
                $inFile = array_key_exists('ssl_ca_path', $this->fileSettings[$section] ?? []);
                $overrides[] = new Override($variable, $section, 'ssl_ca_path', $authorities, $inFile);
                $warnings[$variable] = "names no authority (" . strtoupper("MATOMO_{$section}_SSL_CA") . "), and Matomo would speak"
                    . " clear text: the server's certificate is checked by the system's, $authorities";
            }
        }
        $this->overrides = $overrides;
        $this->warnings = $warnings;
    }

    /**
     * Kubernetes tells every container of each Service of its namespace, by variables that begin with the Service's
     * name. Of one that is called matomo-database it says MATOMO_DATABASE_PORT=tcp://10.0.0.9:3306.
     *
     * @param array<string, string> $variables
     * @return array<string, string> those that somebody set
     */
    private static function withoutServices(array $variables): array
    {
        foreach (preg_grep('/_PORT_\d+_(TCP|UDP|SCTP)_ADDR$/', array_keys($variables)) as $name) {
            $service = preg_replace('/_PORT_\d+_[A-Z]+_ADDR$/', '', $name);
            if (!isset($variables["{$service}_SERVICE_HOST"])) {
                continue;
            }
            $its = '/^' . preg_quote($service, '/') . '_(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT_\d+_.+)$/';
            $variables = array_diff_key($variables, array_flip(preg_grep($its, array_keys($variables))));
            // A port that the deployment sets itself takes the place of this one.
            if (preg_match('~^(tcp|udp|sctp)://~', $variables["{$service}_PORT"] ?? '')) {
                unset($variables["{$service}_PORT"]);
            }
        }
        return $variables;
    }

    /**
     * Whether TLS is asked for and would not happen: Matomo's database drivers begin it for one of
     * these keys only, and say nothing without (core/Db/Adapter/Pdo/Mysql.php).
     *
     * @param Override[] $overrides
     */
    private function wouldSpeakClearText(string $section, array $overrides): bool
    {
        $effective = $this->settings[$section] ?? [];
        foreach ($overrides as $override) {
            if ($override->section === $section) {
                $effective[$override->key] = $override->value;
            }
        }
        $begins = ['ssl_ca', 'ssl_ca_path', 'ssl_cert', 'ssl_key', 'ssl_cipher'];
        return !empty($effective['enable_ssl']) && !array_filter(array_intersect_key($effective, array_flip($begins)));
    }

    public static function ofThisProcess(): self
    {
        return self::$ofThisProcess ?? throw new \LogicException('the configuration has not been read yet');
    }

    /** Reads the environment once, before anything of it is in the configuration. */
    public static function read(GlobalSettingsProvider $provider): self
    {
        $chain = $provider->getIniFileChain();
        $settings = $chain->getAll();
        $fileSettings = [];
        foreach (array_keys($settings) as $section) {
            $fileSettings[$section] = $chain->getFrom($provider->getPathLocal(), $section) ?? [];
        }
        return self::$ofThisProcess = new self(
            getenv(),
            $settings,
            $fileSettings,
            $settings['Plugins']['Plugins'] ?? [],
            (string) file_get_contents($provider->getPathGlobal())
        );
    }

    /** @throws SetsNothing */
    private function override(string $variable, string $value): Override
    {
        [$section, $rest] = $this->section($variable);
        if (in_array($section, self::READ_TOO_EARLY)) {
            throw new SetsNothing("[$section] is read before any plugin; set it in config.ini.php");
        }
        if (str_ends_with($rest, '_FILE') && $this->existingKey($section, $rest) === null) {
            $rest = substr($rest, 0, -strlen('_FILE'));
            $value = $this->contents($value);
        }
        $key = $this->existingKey($section, $rest) ?? $this->newKey($rest);
        $inFile = array_key_exists($key, $this->fileSettings[$section] ?? []);
        return new Override($variable, $section, $key, $this->typed($section, $key, $value), $inFile);
    }

    /**
     * Splits MATOMO_<SECTION>_<KEY>. Section names hold underscores too (database_reader), so the
     * one that has the key wins, then the longest.
     *
     * @return array{string, string} section in its own spelling, and the rest
     * @throws SetsNothing
     */
    private function section(string $variable): array
    {
        $candidates = [];
        foreach (array_unique([...array_keys($this->settings), ...$this->plugins]) as $section) {
            $prefix = "MATOMO_{$section}_";
            if (stripos($variable, $prefix) === 0 && strlen($variable) > strlen($prefix)) {
                $candidates[$section] = substr($variable, strlen($prefix));
            }
        }
        if (!$candidates) {
            throw new SetsNothing('no section of the configuration and no active plugin has such a name');
        }
        uksort($candidates, fn ($one, $other) => strlen($other) <=> strlen($one));
        foreach ($candidates as $section => $rest) {
            if ($this->existingKey($section, $rest) !== null) {
                return [$section, $rest];
            }
        }
        return [array_key_first($candidates), reset($candidates)];
    }

    private function existingKey(string $section, string $name): ?string
    {
        foreach (array_keys($this->settings[$section] ?? []) as $key) {
            if (strcasecmp($key, $name) === 0) {
                return $key;
            }
        }
        return null;
    }

    /** Matomo's keys are lower case; a plugin's camelCase key is taken as it is written. */
    private function newKey(string $name): string
    {
        return $name === strtoupper($name) ? strtolower($name) : $name;
    }

    /** @throws SetsNothing */
    private function contents(string $path): string
    {
        $contents = @file_get_contents($path);
        if ($contents === false) {
            throw new SetsNothing("the file that it names, $path, cannot be read");
        }
        return rtrim($contents, "\r\n");
    }

    /**
     * A list is a JSON list, or words between commas. A switch takes the words that a file takes: as
     * text, "false" would be true to PHP. Any other key takes any text.
     */
    private function typed(string $section, string $key, string $value): string|array
    {
        $current = $this->settings[$section][$key] ?? null;
        $list = str_starts_with($value, '[') || str_starts_with($value, '{') ? json_decode($value, true) : null;
        if (is_array($list) && ($current === null || is_array($current))) {
            return $list;
        }
        if (is_array($current)) {
            return $value === '' ? [] : array_map('trim', explode(',', $value));
        }
        if (in_array($current, [0, 1, '0', '1', true, false], true)) {
            return self::SWITCHES[strtolower($value)] ?? $value;
        }
        return $value;
    }

    private function isKnown(Override $override): bool
    {
        return array_key_exists($override->key, $this->settings[$override->section] ?? [])
            || in_array($override->section, $this->plugins) // what a plugin reads, it alone knows
            || preg_match('/^;\s*' . preg_quote($override->key, '/') . '(\[\])?\s*=/m', $this->documentation);
    }

    private function unknownKey(Override $override): string
    {
        $message = "sets [{$override->section}] {$override->key}, which no configuration file of Matomo names";
        $nearest = null;
        $distance = 4; // further away than three letters it is no slip of the hand
        foreach (array_keys($this->settings[$override->section] ?? []) as $key) {
            if (levenshtein($key, $override->key) < $distance) {
                $nearest = $key;
                $distance = levenshtein($key, $override->key);
            }
        }
        return $message . ($nearest ? "; is $nearest meant?" : '');
    }
}
