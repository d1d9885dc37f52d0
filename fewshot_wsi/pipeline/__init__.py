"""A whole protocol, from images to the table: what is needed, in which order, and what of it is finished."""
