"""Labelling with few labels: which tiles next, a page to label them on, and what more labels would gain."""
