define("PIWIK_ENABLE_DISPATCH", false);
require "index.php";
if (!empty($argv[1])) { \Piwik\Url::setHost($argv[1]); }
$environment = new \Piwik\Application\Environment("cli");
$environment->init();
$container = $environment->getContainer();
$settings = $container->get(\Piwik\Application\Kernel\GlobalSettingsProvider::class)->getIniFileChain();
$manager = \Piwik\Plugin\Manager::getInstance();
$manager->loadActivatedPlugins();
$facts = ["version" => \Piwik\Version::VERSION, "settings" => $settings->getAll(), "environment" => getenv()];
$facts["file"] = [];
foreach (array_keys($settings->getAll()) as $section) {
    $facts["file"][$section] = $settings->getFrom($container->get(\Piwik\Application\Kernel\GlobalSettingsProvider::class)->getPathLocal(), $section);
}
$facts["activated"] = array_values($manager->getActivatedPlugins());
// A plugin may be in another place than plugins/ (MATOMO_PLUGIN_DIRS).
$facts["folders"] = array_combine($facts["activated"], array_map("Piwik\\Plugin\\Manager::getPluginDirectory", $facts["activated"]));
$facts["missing"] = [];
foreach ($facts["settings"]["Plugins"]["Plugins"] ?? [] as $name) {
    // This reads the plugin's own file: Matomo unloads a plugin that does not fit, and caches what it read.
    $file = \Piwik\Plugin\Manager::getPluginDirectory($name) . "/plugin.json";
    $require = json_decode(@file_get_contents($file) ?: "{}", true)["require"] ?? [];
    foreach ((new \Piwik\Plugin\Dependency())->getMissingDependencies($require) as $lack) {
        $facts["missing"][] = "$name requires {$lack["requirement"]} {$lack["requiredVersion"]}, here is {$lack["actualVersion"]}";
    }
}
$facts["tmp"] = $container->get("path.tmp");
$facts["has_processes"] = (bool) (new \Piwik\CliMulti())->supportsAsync();
$facts["methods"] = [];
foreach ($facts["activated"] as $name) {
    if (!$manager->isPluginLoaded($name) || !class_exists($api = "Piwik\\Plugins\\$name\\API")) { continue; }
    foreach ((new ReflectionClass($api))->getMethods(ReflectionMethod::IS_PUBLIC) as $method) {
        if (!$method->isStatic() && !$method->isConstructor()) {
            $facts["methods"]["$name.$method->name"] = array_map(fn ($parameter) => $parameter->name, $method->getParameters());
        }
    }
}
$facts["hooks"] = [];
foreach ($facts["activated"] as $name) {
    if ($manager->isPluginLoaded($name) && !$manager->isPluginBundledWithCore($name)) {
        $facts["hooks"][$name] = array_keys($manager->getLoadedPlugin($name)->registerEvents());
    }
}
foreach ($container->get("observers.global") as [$event]) {
    $facts["hooks"]["config/"][] = $event;
}
$facts["tables"] = array_map("Piwik\\Common::unprefixTable", \Piwik\DbHelper::getTablesInstalled(true));
$facts["core_tables"] = array_map("Piwik\\Common::unprefixTable", \Piwik\Db\Schema::getInstance()->getTablesNames());
$facts["no_columns"] = [];
$kinds = ["log_visit" => "Visit", "log_link_visit_action" => "Action", "log_conversion" => "Conversion"];
foreach ($kinds as $table => $kind) {
    $columns = in_array($table, $facts["tables"]) ? \Piwik\DbHelper::getTableColumns(\Piwik\Common::prefixTable($table)) : [];
    foreach (("Piwik\\Plugin\\Dimension\\{$kind}Dimension")::getAllDimensions() as $dimension) {
        if ($dimension->hasColumnType() && !isset($columns[$dimension->getColumnName()])) {
            $facts["no_columns"][] = "$table.{$dimension->getColumnName()} of " . get_class($dimension);
        }
    }
}
$facts["updates"] = array_keys((new \Piwik\Updater())->getComponentUpdates() ?? []);
$facts["cipher"] = \Piwik\Db::fetchRow("SHOW SESSION STATUS LIKE 'Ssl_cipher'")["Value"] ?? "";
// A certificate is made for a name: who connects to the database's bare address verifies no name.
$facts["taken_by_address"] = null;
$database = \Piwik\Config::getInstance()->database;
$address = gethostbyname($database["host"]);
if ($address !== $database["host"]) {
    try {
        $database["host"] = $address;
        @\Piwik\Db\Adapter::factory($database["adapter"], $database);
        $facts["taken_by_address"] = true;
    } catch (\Exception $refused) {
        $facts["taken_by_address"] = false;
    }
}
$facts["tracker_is_whole"] = null;
if (in_array("CustomJsTracker", $facts["activated"])) {
    $whole = \Piwik\Container\StaticContainer::get("Piwik\\Plugins\\CustomJsTracker\\TrackerUpdater")->getUpdatedTrackerFileContent();
    $facts["tracker_is_whole"] = trim($whole) === trim(file_get_contents("matomo.js"));
}
$reader = "Piwik\\Plugins\\EnvironmentVariables\\Environment";
$facts["warnings"] = class_exists($reader) && method_exists($reader, "ofThisProcess") ? $reader::ofThisProcess()->warnings : null;
// PHP's empty array is a list and not an object.
foreach (["folders", "hooks", "methods"] as $name) { $facts[$name] = (object) $facts[$name]; }
echo "FACTS", json_encode($facts, JSON_PARTIAL_OUTPUT_ON_ERROR);
