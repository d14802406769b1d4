"""The main screens. A module of its own, without an import: the launcher knows them before it has loaded anything."""

SCREENS = (
    ("overview", "Overview", "Over"),
    ("logs", "Logs", "Logs"),
    ("projects", "Projects", "Proj"),
    ("keys", "Keys", "Keys"),
    ("providers", "Providers", "Prov"),
    ("limits", "Limits", "Lim"),
    ("playground", "Playground", "Play"),
    ("audit", "Audit", "Audit"),
)
"""The main screens in the order of their number keys: name, word, short word."""
