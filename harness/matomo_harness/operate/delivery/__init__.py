"""Delivery: images go to a registry, from stage to stage by digest, and to the service that runs.

`stages` opens what delivery.toml names; `registry`, `copying`, `aws` and `service` each talk to one
thing outside; `passport` and `judge` say what is vouched for; `publish`, `promote`, `rollback`,
`redeploy` and `verify` are the commands.
"""
