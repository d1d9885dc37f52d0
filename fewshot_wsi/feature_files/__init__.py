"""Feature files of other tools, in and out: one reader a format, rows matched to a list by name or by coordinates."""
