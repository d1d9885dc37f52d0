"""From public archives, slides and folders to checked lists: one command a data set, and the modules they share.

Imported as `prepare_data` with `tools/` on the path.

| module | idea |
| --- | --- |
| `nct`, `lc25000`, `paip19`, `folder` | the commands, one a data set |
| `images`, `table` | the image files of a folder; what is known of each, from folders or a CSV |
| `download`, `archive` | one file of a public record, resumed and checked; unpacking that nothing leaves |
| `splits` | seeded random, stratified and grouped splits |
| `publish`, `links` | all lists of a data set appear together or not at all; images stay where they are |
| `own_protocol` | the protocol file for a data set of one's own |
| `slides`, `tissue`, `cutting` | tiles and grid of a slide; tissue, ink; one slide's tiles |
| `annotation`, `masks`, `imagescope`, `regions` | classes of a slide's cells; TIFF masks, XML; shapes and their cover |
| `appearance`, `keypoints`, `originals` | augmented copies of one tile: alike, proved, grouped |
"""
