; <?php exit; ?> DO NOT REMOVE THIS LINE
; Matomo reads this file before config.ini.php, and never writes it.

[General]
; Matomo saves config.ini.php by emptying it first. Who reads it in between would take Matomo for
; new and have the installer save it, with nothing of ours: so it is refused instead. An
; installation has enable_installer = 1 in config.ini.php for as long as it lasts.
enable_installer = 0
