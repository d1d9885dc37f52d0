"""python -m fewshot_wsi COMMAND …, the same as fewshot-wsi COMMAND …"""

import sys

from fewshot_wsi.commands import main

if __name__ == "__main__":
    sys.exit(main())
