"""Pictures of the evidence path, with clock, versions and image digest beside them."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock
from jinja2 import Environment
from playwright.sync_api import Page

from matomo_harness.gate.report import STYLE
from matomo_harness.runtime.images import Image

TEMPLATE = Environment(autoescape=True).from_string("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>What the browser saw</title>
<style>{{ style | safe }} img { max-width: 100% }</style>
<h1>What the browser saw</h1>
{% for picture in pictures %}
<section>
<h2>Matomo {{ picture.version }}: {{ picture.promise }}</h2>
<dl>
{% for name in ("clock", "browser", "image", "digest", "base", "address") %}
<dt>{{ name }}</dt><dd>{{ picture[name] }}</dd>
{% endfor %}
</dl>
<a href="{{ picture.file }}"><img src="{{ picture.file }}" alt="{{ picture.promise }}"></a>
</section>
{% endfor %}
</html>
""")


@dataclass(frozen=True)
class Evidence:
    """Pictures of one instance.

    Args:
        directory: where they are; its index.html shows the pictures of one run's processes.
        run: id of the run; pictures of another run are removed.
        version: of Matomo.
        image: the image under test.
    """

    directory: Path
    run: str
    version: str
    image: Image

    def keep(self, page: Page, promise: str) -> None:
        """Keep a picture of the whole page.

        Args:
            page: without a secret on it.
            promise: what it shows, as a sentence.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        name = f"{self.version}-{promise.lower().replace(' ', '-')}"
        browser = page.context.browser
        with FileLock(self.directory / ".lock"):
            self._clear_another_run()
            page.screenshot(path=self.directory / f"{name}.png", full_page=True)
            document = {
                "run": self.run,
                "promise": promise,
                "version": self.version,
                "clock": datetime.now(UTC).isoformat(timespec="seconds"),
                "browser": f"Chromium {browser.version}" if browser else "",
                "image": self.image.reference,
                "digest": self.image.id,
                "base": str(self.image.origin),
                "address": page.url,
                "file": f"{name}.png",
            }
            (self.directory / f"{name}.json").write_text(json.dumps(document))
            pictures = sorted(
                self._documents(), key=lambda picture: (picture["version"], picture["clock"])
            )
            (self.directory / "index.html").write_text(
                TEMPLATE.render(pictures=pictures, style=STYLE.read_text())
            )

    def _documents(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in self.directory.glob("*.json")]

    def _clear_another_run(self) -> None:
        for path in self.directory.glob("*.json"):
            if json.loads(path.read_text())["run"] != self.run:
                path.unlink()
                path.with_suffix(".png").unlink(missing_ok=True)
