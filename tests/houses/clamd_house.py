"""A real clamd with a signature of our own, which knows nothing but the EICAR test file."""

import shutil
import subprocess
import time
from pathlib import Path

from kepgw.app.doctor_malware import EICAR

NAME = "Kepgw.Test.Eicar"


class ClamdHouse:
    """``start`` returns when it answers."""

    def __init__(self, folder: Path, **settings):
        self.folder = folder
        self.socket = folder / "clamd.ctl"
        self.settings = settings
        self.process = None

    def start(self):
        program = shutil.which("clamd") or "/usr/sbin/clamd"
        assert Path(program).exists(), "clamd is not installed (clamav-daemon)"
        database = self.folder / "db"
        database.mkdir(exist_ok=True)
        (database / "test.ndb").write_text(f"{NAME}:0:*:{EICAR.hex()}\n")
        lines = [
            f"DatabaseDirectory {database}",
            f"LocalSocket {self.socket}",
            f"TemporaryDirectory {self.folder}",
            f"LogFile {self.folder / 'log'}",
            "Foreground yes",
            "ScanMail yes",
            *(f"{name} {value}" for name, value in self.settings.items()),
        ]
        conf = self.folder / "clamd.conf"
        conf.write_text("\n".join(lines) + "\n")
        self.process = subprocess.Popen([program, "-c", str(conf)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        until = time.monotonic() + 60
        while not self.socket.exists():
            assert self.process.poll() is None, self.process.stdout.read().decode()
            assert time.monotonic() < until, "clamd does not begin"
            time.sleep(0.05)  # it tells nobody when it is ready
        return self

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
            self.process.stdout.close()
            self.process = None
        self.socket.unlink(missing_ok=True)
