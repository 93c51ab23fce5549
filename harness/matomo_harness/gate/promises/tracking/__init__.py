"""Tracking: every site gets the tracker, and robots and visitors who opted out are not counted."""
