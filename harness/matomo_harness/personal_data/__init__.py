"""Person data of a Matomo: which columns hold it, how it is rewritten, and what is left of it.

This package knows no Docker and no dump: it is given a connection to a throw-away schema. `rules`
reads personal-data.toml, `rewriting` makes SQL of it, `search` looks for what is left, and
`canaries` plants what the search must not find.
"""
