"""A token of SoftHSM 2 in a folder of its own."""

import os
import shutil
import subprocess
from pathlib import Path

MODULE = next(
    (
        path
        for path in map(
            Path,
            (
                "/usr/lib/softhsm/libsofthsm2.so",
                "/usr/lib64/softhsm/libsofthsm2.so",
                "/usr/local/lib/softhsm/libsofthsm2.so",
            ),
        )
        if path.exists()
    ),
    Path("/usr/lib/softhsm/libsofthsm2.so"),
)
PIN, SO_PIN = "Gizli-1234", "87654321"


class SoftHsm:
    """One token, ``kepgw``; ``environment`` is what a process needs to find it."""

    def __init__(self, folder: Path) -> None:
        assert shutil.which("softhsm2-util"), "install softhsm2: scripts/setup-system.sh does"
        self.tokens = folder / "tokens"
        self.tokens.mkdir(parents=True)
        configuration = folder / "softhsm2.conf"
        configuration.write_text(
            f"directories.tokendir = {self.tokens}\nobjectstore.backend = file\nlog.level = ERROR\n"
        )
        self.environment = {"SOFTHSM2_CONF": str(configuration)}
        self._util("--init-token", "--free", "--label", "kepgw", "--so-pin", SO_PIN, "--pin", PIN)
        self.pin_file = folder / "pin"
        self.pin_file.write_text(f"{PIN}\n")
        self.pin_file.chmod(0o600)

    def take(self, key: Path, label: str = "process", identifier: str = "01") -> None:
        """Import a key (PEM, PKCS #8), so that the certificate that was made for it fits."""
        self._util("--import", key, "--token", "kepgw", "--label", label, "--id", identifier, "--pin", PIN)

    def pull(self) -> None:
        """Take the token away."""
        self.tokens.rename(self.tokens.with_name("pulled"))
        self.tokens.mkdir()

    def put_back(self) -> None:
        """Undo ``pull``."""
        self.tokens.rmdir()
        self.tokens.with_name("pulled").rename(self.tokens)

    def settings(self, certificates: str) -> str:
        """A [[keys.process]] for the key that was taken."""
        return (
            f"[[keys.process]]\ncertificates = {certificates}\n[keys.process.pkcs11]\n"
            f'module = "{MODULE}"\ntoken = "kepgw"\nlabel = "process"\npin_file = "{self.pin_file}"\n\n'
        )

    def _util(self, *words: str | Path) -> None:
        done = subprocess.run(
            ["softhsm2-util", *map(str, words)],
            env={**os.environ, **self.environment},
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
