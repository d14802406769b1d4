"""Advisory locks of the whole database, so that no two parts pick the same number."""

BUDGET_LOCK = 0x6F70740001
"""Shared while rows are ingested, exclusive while a budget window is created: the window then begins with the exact sum of rows."""

HOUSEKEEPING_LOCK = 0x6F70740002
"""Partitions and retention: one worker at a time."""

BOOKS_LOCK = 0x6F70740005
"""The check of every minute: one worker of all."""

REPRICE_LOCK = 0x6F70740006
"""One repricing at a time."""

ALERT_LOCK = 0x6F70740009
"""Who looks for budgets that passed a threshold: one worker at a time."""

AUDIT_LOCK = 0x6F70740003
"""The audit's chain has one end."""
