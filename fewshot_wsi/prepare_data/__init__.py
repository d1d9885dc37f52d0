"""From public archives, slides and folders to checked lists: one command a data set, and the modules they share.

| module | idea |
| --- | --- |
| `table` | what is known of each image, from folders or a CSV |
| `download`, `archive` | one file of a public record, resumed and checked; unpacking that nothing leaves |
| `splits` | seeded random, stratified and grouped splits |
| `publish`, `links` | all lists of a data set appear together or not at all; images stay where they are |
| `own_set`, `own_protocol` | lists, groups and protocol of a data set of one's own |
| `cutting`, `cohort` | the tiles of one annotated slide; of many, in parallel |
| `marked` | regions of QuPath, ASAP, ImageScope and NDP.view as classes of a slide's cells |
| `annotation`, `masks` | PAIP2019's annotations as classes of a slide's cells; TIFF masks |
| `appearance`, `keypoints`, `originals` | augmented copies of one tile: alike, proved, grouped |
"""
