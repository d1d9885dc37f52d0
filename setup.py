"""pip install -e . : the two libraries `openselfsup` (trainer) and `lowshot` (few-shot half)."""
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
REQUIREMENTS = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and line[0] != "#"]

setup(
    name="few-shot-wsi",
    version="1.0.0",
    description="Low-shot classification of histology images: contrastive pre-training and latent augmentation",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8") if (ROOT / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=[*find_packages(include=["openselfsup", "openselfsup.*"]),
              *find_packages("wsi_workdir", include=["lowshot", "lowshot.*"])],
    package_dir={"lowshot": "wsi_workdir/lowshot"},
    package_data={"lowshot": ["data/*", "report/*"]},
    install_requires=REQUIREMENTS,
)
