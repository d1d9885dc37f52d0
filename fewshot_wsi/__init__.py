"""Few-shot-WSI: what runs a protocol and reports on it, around the method (`lowshot`) and the trainer (`openselfsup`).

The rooms and what each may import: ARCHITECTURE.md. Commands: `fewshot-wsi --help`.
"""

__version__ = "1.0.0"
