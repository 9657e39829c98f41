"""Lines of JSON on stdout. Knows nothing of what they say."""

import json
import sys
from collections.abc import Mapping
from typing import Any


def say_json(fields: Mapping[str, Any]) -> None:
    """A line of JSON on stdout, in one piece: a watch and the build that it began share it."""
    sys.stdout.write(json.dumps(fields, ensure_ascii=False) + "\n")
    sys.stdout.flush()
