"""Which packages and files are installed; all else is in pyproject.toml."""
from setuptools import find_packages, setup

ROOMS = ["fewshot_wsi", "fewshot_wsi.*", "lowshot", "lowshot.*", "openselfsup", "openselfsup.*"]

setup(
    packages=[*find_packages(include=ROOMS), "fewshot_wsi.configs"],
    package_dir={"fewshot_wsi.configs": "configs"},
    package_data={"": ["py.typed", "*.pyi"], "fewshot_wsi.report": ["*.j2", "*.js", "*.css", "*.json"],
                  "fewshot_wsi.labelling": ["*.j2", "*.js", "*.css"],
                  "fewshot_wsi.slide_maps": ["*.j2", "*.js", "*.css"],
                  "fewshot_wsi.configs": ["**/*.py"]},
)
