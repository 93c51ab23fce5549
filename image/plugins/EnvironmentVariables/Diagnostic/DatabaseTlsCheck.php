<?php

/**
 * @license https://www.gnu.org/licenses/gpl-3.0.html GPL v3 or later
 */

namespace Piwik\Plugins\EnvironmentVariables\Diagnostic;

use Piwik\Db;
use Piwik\Plugins\Diagnostics\Diagnostic\Diagnostic;
use Piwik\Plugins\Diagnostics\Diagnostic\DiagnosticResult;

/** System check: whether the database is spoken to in clear text, by the session's own word. */
class DatabaseTlsCheck implements Diagnostic
{
    public function execute()
    {
        $cipher = self::cipher();
        return [DiagnosticResult::singleResult(
            'Encrypted connection to the database',
            $cipher ? DiagnosticResult::STATUS_OK : DiagnosticResult::STATUS_INFORMATIONAL,
            $cipher ?: 'no: clear text'
        )];
    }

    /** @return string the cipher of this request's session; empty where it is in clear text */
    public static function cipher(): string
    {
        return (string) (Db::fetchRow("SHOW SESSION STATUS LIKE 'Ssl_cipher'")['Value'] ?? '');
    }
}
