"""User ids: a hit that names its user leaves nothing of the name, in clear or derived."""
