"""What can be wrong with images and lists before a number is published on them. Behind `tools/check_data.py`.

| module | idea |
| --- | --- |
| `sets` | the lists to check: roots, class names, groups |
| `measure` | one image file: fault, size, mode, hash, perceptual hash, colours |
| `cache` | measurements kept between runs |
| `duplicates` | exact and near duplicates, without comparing every two images |
| `colour` | what colour alone says about the class |
| `findings` | each check as a function: measurements to findings |
| `report`, `sheet` | Markdown and JSON; a contact sheet per list |
"""
