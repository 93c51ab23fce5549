"""Records the README's pictures into docs/pictures/: of reports, and of the evidence tests.

make pictures
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from matomo_harness.gate import report
from matomo_harness.gate.catalogue import PROMISES
from matomo_harness.gate.core.verdict import Verdict
from matomo_harness.gate.probes.chromium import launch_options
from matomo_harness.matomo.versions import NAMES
from tests.e2e.test_report_page import ABOUT, green_results, red_results

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
    _reports()
    for document in (json.loads(path.read_text()) for path in EVIDENCE.glob("*.json")):
        if name := WANTED.get(document["promise"]):
            _make_small(EVIDENCE / document["file"], PICTURES / f"{name}.png")
            print(PICTURES / f"{name}.png")
    return 0


def _reports() -> None:
    """Record the first screen of a red report and of a green one."""
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as directory:
        chromium = playwright.chromium
        browser = chromium.launch(**launch_options(Path(chromium.executable_path)))
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        for colour, results in (("red", red_results()), ("green", green_results())):
            place = Path(directory) / colour
            report.write(Verdict(results, {}), ABOUT, place, (), PROMISES)
            page.goto((place / "index.html").as_uri())
            page.screenshot(path=place / "first.png")
            _make_small(place / "first.png", PICTURES / f"report-{colour}.png")


def _make_small(picture: Path, small: Path) -> None:
    with Image.open(picture) as taken:
        height = min(taken.height, taken.width * HEIGHT // WIDTH)
        top = taken.convert("RGB").crop((0, 0, taken.width, height))
        top.thumbnail((WIDTH, HEIGHT))
        top.quantize(64).save(small, optimize=True)


if __name__ == "__main__":
    sys.exit(main())
