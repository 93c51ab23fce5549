define("PIWIK_ENABLE_DISPATCH", false);
require "index.php";
$environment = new \Piwik\Application\Environment("cli");
$environment->init();
// A server looks at the right before it looks for the table: nothing here makes or changes one.
$there = \Piwik\Common::prefixTable("option");
$nowhere = \Piwik\Common::prefixTable("gate_" . bin2hex(random_bytes(6)));
$tries = [
    "CREATE" => "CREATE TABLE `$there` (a INT)",
    "CREATE TEMPORARY TABLES" => "CREATE TEMPORARY TABLE `$nowhere` (a INT)",
    "ALTER" => "ALTER TABLE `{$nowhere}_` ADD COLUMN b INT",
    "INDEX" => "CREATE INDEX i ON `{$nowhere}_` (a)",
    "DROP" => "DROP TABLE `{$nowhere}_`",
];
$denied = [];
foreach ($tries as $right => $statement) {
    try {
        \Piwik\Db::exec($statement);
    } catch (\Exception $refused) {
        if (stripos($refused->getMessage(), "denied") !== false) {
            $denied[] = $right;
        }
    }
}
echo "DENIED", json_encode($denied);
