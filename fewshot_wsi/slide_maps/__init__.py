"""Whole slides classified tile by tile: from annotated regions or a head to a map of each slide.

| module | idea |
| --- | --- |
| `grid` | the tiles of a slide that lie on tissue, and the cell of the map that each stands for |
| `rows` | these tiles through an encoder, as rows of features |
| `supports` | tiles of annotated regions as labelled ones, regions or slides as groups |
| `slide_map` | class and scores of each tile, areas of the classes, `tiles.csv` |
| `geojson` | regions of each class as QuPath opens them |
| `picture`, `page` | the map over the thumbnail: overlay.png, case.html |
| `ome` | the outputs of the classifier as a pyramidal OME-TIFF |
| `colours` | one colour a class in all of them |
| `one_slide` | all of it for one slide, resumed where it stopped |
| `truth` | F1 of maps by annotations that gave no labels |
| `run` | the command: head, slides, summary |
"""
