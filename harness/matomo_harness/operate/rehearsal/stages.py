"""The stages of a rehearsal, in their order."""

from typing import Final

TODAY: Final = "today's code"
SERVER: Final = "today's code on the new database server"
LOOKED: Final = "the data on the new database server"
SWITCHED_OFF: Final = "the plugin off, with today's code"
CLOSED: Final = "the new code on the old tables"
BACK_AT_ONCE: Final = "back to the old code, with nothing restored"
AGAIN: Final = "the new code on the old tables, again"
UPDATE: Final = "Matomo's own update"
AFTER: Final = "the new code on the new tables"
NEXT: Final = "the next deployment of the new image"
BACK: Final = "back to the old state, restored"

ON_THE_WAY: Final = (SERVER, SWITCHED_OFF, AGAIN, UPDATE, AFTER)
"""Those that the real upgrade has, too; the others are here to see the ways back."""
CLOSED_TO_PEOPLE: Final = (SERVER, AGAIN, UPDATE)
"""Those in which people are shown Matomo's updater, or nothing."""
