"""Checks the project's words: `python tests/words.py [path …]`; docs/glossary.md explains each.

It reads the names that our Python gives to things, and the text of code and docs. The spelling of
English is left to codespell.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
LEFT_OUT: Final = ("CHANGELOG.md", "docs/glossary.md", "tests/words.py", "tests/unit/test_words.py")
"""Files that have to name the old words."""

NAMES: Final = {
    "door": "capability",
    "gist": "excerpt",
    "its": "what it is of",
    "it": "what it is",
    "kept": "passed, stored or remaining",
    "sweep": "leak scan, or remove leftovers",
    "theatre": "mutation runner",
    "told": "reported, or the text of it",
    "variant": "control",
}
"""Parts of names, and what to say instead."""
LOOP_WORDS: Final = frozenset({"it", "its"})
"""Refused as a whole name only: `is_it` and `wait` are other words."""
PARTICIPLE: Final = re.compile(r"_?([A-Z][a-z]+ed|Seen|Held|Sent|Made|Found|Built|Begun)")
"""A class is a thing, and a participle does not say which: what was started, held or seen?"""
POSSESSIVE: Final = re.compile(r"[a-z]_s(_|$)")

TEXT: Final = {
    r"[Ss]tand-ins?\b(?!` is taken|\" else)": "substitute base image, or emulated service",
    r"machine cannot": "unsupported environment",
    r"mail stand\b": "emulated service",
    r"[Tt]heatre": "mutation runner",
    r"\bnot looked at\b": "skipped, or not promised",
    r"\bnot decided\b": "skipped",
    r"[Mm]utants? and variants?": "mutant and control",
}
"""Patterns of text, and what to say instead."""


def complaints(path: Path, text: str) -> Iterator[str]:
    """Yield a line for each old word in the file, with the word to say instead."""
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, better in TEXT.items():
            if found := re.search(pattern, line):
                yield f"{path}:{number}: '{found[0]}': say {better}"
    if path.suffix == ".py":
        for number, name in _names(ast.parse(text)):
            if why := _refused(name):
                yield f"{path}:{number}: the name {name}: {why}"


def _names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield every name that the code gives to something, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id


def _refused(name: str) -> str:
    if name in LOOP_WORDS:
        return "say what it is"
    if PARTICIPLE.fullmatch(name):
        return "a class is a thing: name it by a noun"
    if POSSESSIVE.search(name):
        return "no possessive s"
    parts = {part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)} - LOOP_WORDS
    old = sorted(parts & NAMES.keys())
    return f"for '{old[0]}' say {NAMES[old[0]]}" if old else ""


def main(arguments: list[str]) -> int:
    """Print the complaints about the named files or all committed ones; 1 if there are any."""
    listing = [
        "git",
        "ls-files",
        "*.py",
        "*.md",
        "*.toml",
        "*.yml",
        "*.html",
        "*Dockerfile",
        "Makefile",
    ]
    known = subprocess.run(
        listing, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    wanted = [str(Path(each).resolve().relative_to(ROOT)) for each in arguments]
    found = [
        complaint
        for name in known
        if name not in LEFT_OUT and (ROOT / name).is_file()
        if not wanted or any(name == one or name.startswith(f"{one}/") for one in wanted)
        for complaint in complaints(Path(name), (ROOT / name).read_text())
    ]
    sys.stdout.writelines(f"{complaint}\n" for complaint in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
