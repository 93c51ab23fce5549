"""Tracking: every site gets the tracker, and who opted out, or is a robot, is not counted."""
