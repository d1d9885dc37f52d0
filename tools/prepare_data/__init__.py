"""From public archives, slides and folders to checked lists: one command a data set, and the modules they share.

Imported as `prepare_data` with `tools/` on the path.

| module | idea |
| --- | --- |
| `images` | find the image files of a folder; names that a list can hold |
| `download` | one file of a public record: resume, checksum |
| `archive` | unpack zip and tar where nothing leaves the target |
| `splits` | seeded random, stratified and grouped splits |
| `appearance`, `keypoints`, `originals` | LC25000's groups: which tiles are augmented copies of one original |
| `publish` | all lists of a data set appear together or not at all |
"""
