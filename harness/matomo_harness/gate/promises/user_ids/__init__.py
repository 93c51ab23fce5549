"""User ids: a hit that names its user leaves no trace of the name, in clear or derived."""
