"""What people mark on slides, from the files of other programs to the area of each class.

| module | idea |
| --- | --- |
| `reading` | an annotation file to regions, by its content; the files of a folder, by slide |
| `geojson`, `asap`, `imagescope`, `ndpa` | one program's files each |
| `xml` | XML that is not trusted, and points in it |
| `regions` | regions as shapes, and the share of each cell that they cover |
| `classes` | regions to the area and the points of each class: overlaps, `Ignore*`, what lies outside |
"""
