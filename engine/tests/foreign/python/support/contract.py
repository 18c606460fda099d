"""What the engine promises by name and number, read from the file that the Node suite reads too."""

import json
from pathlib import Path

_CONTRACT = json.loads((Path(__file__).parents[2] / "contract.json").read_text())

METRICS = _CONTRACT["metrics"]
CLOSE_REASONS = _CONTRACT["close_reasons"]
LIMITS = _CONTRACT["limits"]
