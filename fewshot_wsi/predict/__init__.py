"""A classifier put to use: fitted to labelled tiles, kept as a head, asked about unlabelled ones."""
