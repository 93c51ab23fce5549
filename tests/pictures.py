"""Records the README's pictures into docs/pictures/: those of the evidence tests, made smaller.

make pictures
"""

import json
import subprocess
import sys
from pathlib import Path

from PIL import Image

from matomo_harness.matomo.versions import NAMES

EVIDENCE = Path("reports/e2e/evidence")
PICTURES = Path("docs/pictures")
WIDTH, HEIGHT = 960, 600
WANTED = {
    "Two bytes of every address are masked": "anonymize-data",
    "A login asks for a second factor": "second-factor",
    "The visitors overview shows the visits that were made": "visitors-overview",
}


def main() -> int:
    """Return pytest's exit code where its tests failed, else 0."""
    tests = "two_bytes_masked or asks_for_a_code or exact_after"
    pytest = [sys.executable, "-m", "pytest", "tests/e2e", "-q", "-k", f"({tests}) and {NAMES[0]}"]
    if code := subprocess.run(pytest, check=False).returncode:
        return code
    PICTURES.mkdir(exist_ok=True)
    for document in (json.loads(path.read_text()) for path in EVIDENCE.glob("*.json")):
        if name := WANTED.get(document["promise"]):
            _make_small(EVIDENCE / document["file"], PICTURES / f"{name}.png")
            print(PICTURES / f"{name}.png")
    return 0


def _make_small(picture: Path, small: Path) -> None:
    with Image.open(picture) as taken:
        height = min(taken.height, taken.width * HEIGHT // WIDTH)
        top = taken.convert("RGB").crop((0, 0, taken.width, height))
        top.thumbnail((WIDTH, HEIGHT))
        top.quantize(64).save(small, optimize=True)


if __name__ == "__main__":
    sys.exit(main())
