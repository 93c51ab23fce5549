"""A passport: the gate's verdict on an image, signed with an SSH key, and stored beside the image.

It is an in-toto statement of the predicate "test result", with what that leaves no room for below
`matomo_harness`. Whoever has the file, its signature and the list of those who may sign can check
it without us: `ssh-keygen -Y verify`.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from matomo_harness import process
from matomo_harness.errors import BrokenPromiseError, UnsupportedEnvironmentError, WrongInputError
from matomo_harness.extra import DELIVERY, install_command
from matomo_harness.operate.delivery.registry import Manifest, Registry, digest_of, short
from matomo_harness.progress import step
from matomo_harness.settings import REPORTS

STATEMENT: Final = "https://in-toto.io/Statement/v1"
PREDICATE: Final = "https://in-toto.io/attestation/test-result/v0.1"
EXTENSION: Final = "matomo_harness"
ARTIFACT: Final = "application/vnd.matomo-harness.passport.v1"
NAMESPACE: Final = "matomo-passport"
"""What a signature is for: one of the same key for something else is none."""
KEY: Final = "HARNESS_PASSPORT_KEY"
DIRECTORY: Final = REPORTS / "passport"
SYFT: Final = "syft"
SBOM_TYPE: Final = "application/vnd.cyclonedx+json"

TEXT, SIGNATURE, SBOM = "passport.json", "passport.json.sig", "sbom.cdx.json"
TYPES: Final = {
    TEXT: "application/vnd.in-toto+json",
    SIGNATURE: "application/vnd.openssh.signature",
    SBOM: SBOM_TYPE,
}
RED: Final = ("fail", "error")


@dataclass(frozen=True)
class Passport:
    """A statement about an image, with its signature.

    Args:
        text: the statement, as it was signed.
        signature: by ssh-keygen, armoured.
        sbom: what is in the image, in CycloneDX; empty where none was made.
    """

    text: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    sbom: bytes = field(default=b"", repr=False)

    @property
    def statement(self) -> dict[str, Any]:
        """The statement, parsed; empty where it is none."""
        try:
            parsed = json.loads(self.text)
        except ValueError:
            return {}
        return parsed if isinstance(parsed, dict) else {}

    @property
    def about(self) -> dict[str, Any]:
        """What only the harness says."""
        found = self.statement.get("predicate", {}).get(EXTENSION, {})
        return dict(found)

    @property
    def digests(self) -> list[str]:
        """The digests of the images that it is about."""
        subjects = self.statement.get("subject", [])
        return [f"sha256:{subject['digest']['sha256']}" for subject in subjects]

    @property
    def time(self) -> datetime:
        """When the gate judged."""
        return datetime.fromisoformat(str(self.about["time"]))

    @property
    def parts(self) -> list[tuple[str, str, bytes]]:
        """The files, as they are stored beside an image."""
        contents = {TEXT: self.text, SIGNATURE: self.signature, SBOM: self.sbom}
        return [(name, TYPES[name], content) for name, content in contents.items() if content]


# -- making ---------------------------------------------------------------------------------------


def signing_key(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return the file of the key that signs; None where none is given.

    Raises:
        WrongInputError: the variable names no file.
    """
    named = environment.get(KEY, "")
    if not named:
        return None
    path = Path(named).expanduser()
    if not path.is_file():
        raise WrongInputError(
            expected=f"{KEY} to name the file of an SSH key",
            seen=f"{path}: no such file",
            next_command=f"ssh-keygen -t ed25519 -f {path}",
        )
    return path


def statement(gate: Mapping[str, Any], subject: str, digest: str, sbom: bytes = b"") -> bytes:
    """Return the statement that a gate's verdict makes about an image.

    Args:
        gate: what gate.json holds.
        subject: the image's name, for people to read.
        digest: the image's digest in the registry.
        sbom: what is in the image.
    """
    about, judged_by = gate["about"], gate["judged_by"]
    by_status: dict[str, list[str]] = {}
    for check in gate["checks"]:
        by_status.setdefault(check["status"], []).append(check["id"])
    failed = sorted(name for status in RED for name in by_status.get(status, ()))
    has_doubts = bool(by_status.get("waived") or by_status.get("skip"))
    result = "FAILED" if failed or gate["waivers"] else "WARNED" if has_doubts else "PASSED"
    configuration = [_resource("policy.toml", judged_by["policy"])]
    if judged_by["waivers"]:
        configuration.append(_resource("waivers.toml", judged_by["waivers"]))
    document = {
        "_type": STATEMENT,
        "subject": [{"name": subject, "digest": {"sha256": digest.removeprefix("sha256:")}}],
        "predicateType": PREDICATE,
        "predicate": {
            "result": result,
            "configuration": configuration,
            "passedTests": sorted(by_status.get("pass", ())),
            "warnedTests": sorted(by_status.get("waived", [])),
            "failedTests": failed,
            EXTENSION: {
                "time": gate["time"],
                "harness": about["harness"],
                "matomo": about.get("Matomo", ""),
                "image_id": about.get("image id", ""),
                "database": about.get("database", ""),
                "verdict": gate["verdict"],
                "checks": {check["id"]: check["status"] for check in gate["checks"]},
                "not_examined": gate["not_examined"],
                "waivers": judged_by["until"],
                "waiver_problems": gate["waivers"],
                "sbom": _resource(SBOM, digest_of(sbom)) if sbom else None,
            },
        },
    }
    return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()


def _resource(name: str, digest: str) -> dict[str, Any]:
    return {"name": name, "digest": {"sha256": digest.removeprefix("sha256:")}}


def sign(text: bytes, key: Path) -> bytes:
    """Return the signature of `text`.

    Args:
        text: the statement.
        key: a private key, or the public one of a key that ssh-agent has.

    Raises:
        WrongInputError: the key cannot sign.
    """
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / TEXT
        path.write_bytes(text)
        signed = _keygen(["sign", "-f", str(key), "-n", NAMESPACE, str(path)])
        if signed.returncode != 0:
            raise WrongInputError(
                expected=f"{key} to sign",
                seen=_last(signed.stderr),
                next_command=f"ssh-keygen -y -f {key}",
            )
        return path.with_name(f"{TEXT}.sig").read_bytes()


def bill_of_materials(image_id: str) -> bytes:
    """Return what is in an image of the engine, as CycloneDX.

    Args:
        image_id: the engine's id of the image.

    Raises:
        UnsupportedEnvironmentError: syft is not here, or cannot read the image.
    """
    beside = Path(sys.executable).with_name(SYFT)
    syft = str(beside) if beside.exists() else shutil.which(SYFT)
    if not syft:
        raise UnsupportedEnvironmentError(
            expected="syft, which lists what is in an image (the extra `delivery` brings it)",
            seen="it is not installed",
            next_command=f"{install_command(DELIVERY)}, or `sbom = false` in [passport]",
        )
    environment = {**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false"}
    with tempfile.TemporaryDirectory() as directory, step("Listing what is in the image") as shown:
        path = Path(directory) / SBOM
        command = [syft, "scan", f"docker:{image_id}", "--quiet", "-o", f"cyclonedx-json={path}"]
        process.run(command, shown, environment=environment)
        return path.read_bytes()


# -- checking a signature -------------------------------------------------------------------------


def signer(passport: Passport, trusted: Path) -> str:
    """Return who signed a passport; it says what was signed.

    Args:
        passport: with its signature.
        trusted: the file of those who may sign.

    Raises:
        WrongInputError: there is no such file.
        BrokenPromiseError: the key is not trusted, or the statement is not what was signed.
    """
    if not trusted.is_file():
        raise WrongInputError(
            expected=f"{trusted}, which says who may sign passports",
            seen="no such file",
            next_command=f'echo "you@example.org $(cat key.pub)" >> {trusted}',
        )
    with tempfile.TemporaryDirectory() as directory:
        signature = Path(directory) / SIGNATURE
        signature.write_bytes(passport.signature)
        files = ["-s", str(signature), "-f", str(trusted)]
        found = _keygen(["find-principals", *files])
        names = found.stdout.decode().splitlines()  # one may have a space in it
        if found.returncode != 0 or not names:
            raise BrokenPromiseError(
                expected=f"a signature by a key that {trusted.name} trusts",
                seen=f"another key, or no signature ({_last(found.stderr)})",
                next_command=f"see {trusted}; have somebody sign who is in it",
            )
        words = ["verify", "-I", names[0], "-n", NAMESPACE, *files]
        verified = _keygen(words, passport.text)
        words = ["check-novalidate", "-n", NAMESPACE, "-s", str(signature)]
        is_as_signed = _keygen(words, passport.text).returncode == 0
    if verified.returncode != 0 and is_as_signed:
        raise BrokenPromiseError(
            expected=f"{trusted.name} to let {names[0]} sign passports",
            seen=f"it does not ({_last(verified.stderr)})",
            next_command=f'see {trusted}: namespaces="{NAMESPACE}" lets a key, as no namespaces do',
        )
    if verified.returncode != 0:
        raise BrokenPromiseError(
            expected=f"the passport as {names[0]} signed it",
            seen=f"another text: it was changed after it was signed ({_last(verified.stderr)})",
            next_command="run the gate, and publish again: that makes a passport anew",
        )
    return names[0]


def _keygen(words: Sequence[str], text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["ssh-keygen", "-Y", *words], input=text, capture_output=True, check=False
        )
    except OSError as error:
        raise UnsupportedEnvironmentError(
            expected="ssh-keygen, which signs and verifies passports",
            seen=str(error),
            next_command="sudo apt-get install openssh-client",
        ) from error


def _last(text: bytes) -> str:
    lines = text.decode(errors="replace").strip().splitlines()
    return "; ".join(lines[-2:]) if lines else "nothing said"  # the last one has no reason


# -- storing --------------------------------------------------------------------------------------


def store(passport: Passport, registry: Registry, image: Manifest) -> None:
    """Store a passport beside its image in a registry, unless it is there."""
    if passport not in stored(registry, image.digest):
        registry.attach(image, ARTIFACT, passport.parts)


def stored(registry: Registry, digest: str) -> list[Passport]:
    """Return the passports beside an image."""
    return [
        Passport(files[TEXT], files[SIGNATURE], files.get(SBOM, b""))
        for files in registry.attached(digest, ARTIFACT)
        if TEXT in files and SIGNATURE in files
    ]


def write(passport: Passport, directory: Path, digest: str) -> Path:
    """Write a passport as files; return the statement's, beside which the others are.

    The statement comes last: without it there is no passport, and nobody reads half of one.
    """
    place = directory / short(digest)
    place.mkdir(parents=True, exist_ok=True)
    (place / TEXT).unlink(missing_ok=True)
    for name, _, content in sorted(passport.parts, key=lambda part: part[0] == TEXT):
        (place / name).write_bytes(content)
    return place / TEXT


def read(path: Path) -> Passport:
    """Read a passport from its file, and what is beside that.

    Raises:
        WrongInputError: there is none, or no signature beside it.
    """
    signature, sbom = path.with_name(f"{path.name}.sig"), path.with_name(SBOM)
    try:
        return Passport(
            path.read_bytes(),
            signature.read_bytes(),
            sbom.read_bytes() if sbom.exists() else b"",
        )
    except OSError as error:
        raise WrongInputError(
            expected=f"a passport, and its signature {signature.name} beside it",
            seen=str(error),
            next_command=f"ls {path.parent}",
        ) from error


def now() -> datetime:
    """Return the time, as passports are judged by it."""
    return datetime.now(UTC)
