"""Retention: visits and reports are deleted or kept as promised; an erased visitor is nowhere."""
