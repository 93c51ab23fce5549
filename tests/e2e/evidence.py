"""Pictures of the evidence path, with clock, versions and image digest beside them."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock
from jinja2 import Environment
from playwright.sync_api import Page

from matomo_harness.runtime.images import Image

TEMPLATE = Environment(autoescape=True).from_string("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>What the browser saw</title>
<style>
  body { font: 15px/1.5 sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
  img { max-width: 100%; border: 1px solid #bbb }
  dl { display: grid; grid-template-columns: max-content auto; gap: 0 1rem; margin: 0 0 .5rem }
  dd { margin: 0; overflow-wrap: anywhere }
</style>
<h1>What the browser saw</h1>
{% for it in pictures %}
<section>
<h2>Matomo {{ it.version }}: {{ it.promise }}</h2>
<dl>
{% for name in ("clock", "browser", "image", "digest", "base", "address") %}
<dt>{{ name }}</dt><dd>{{ it[name] }}</dd>
{% endfor %}
</dl>
<a href="{{ it.file }}"><img src="{{ it.file }}" alt="{{ it.promise }}"></a>
</section>
{% endfor %}
</html>
""")


@dataclass(frozen=True)
class Evidence:
    """Pictures of one instance.

    Args:
        place: directory; its index.html shows the pictures of one run, of all its processes.
        run: id of the run; what another left is removed.
        version: of Matomo.
        image: the one under test.
    """

    place: Path
    run: str
    version: str
    image: Image

    def keep(self, page: Page, promise: str) -> None:
        """Keep a picture of the whole page.

        Args:
            page: without a secret on it.
            promise: what it shows, as a sentence.
        """
        self.place.mkdir(parents=True, exist_ok=True)
        name = f"{self.version}-{promise.lower().replace(' ', '-')}"
        browser = page.context.browser
        with FileLock(self.place / ".lock"):
            self._clear_another_run()
            page.screenshot(path=self.place / f"{name}.png", full_page=True)
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
            (self.place / f"{name}.json").write_text(json.dumps(document))
            pictures = sorted(self._documents(), key=lambda it: (it["version"], it["clock"]))
            (self.place / "index.html").write_text(TEMPLATE.render(pictures=pictures))

    def _documents(self) -> list[dict[str, Any]]:
        return [json.loads(it.read_text()) for it in self.place.glob("*.json")]

    def _clear_another_run(self) -> None:
        for it in self.place.glob("*.json"):
            if json.loads(it.read_text())["run"] != self.run:
                it.unlink()
                it.with_suffix(".png").unlink(missing_ok=True)
