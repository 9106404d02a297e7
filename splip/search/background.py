"""Index photos while the page is open: ``splip index`` as a program of its own."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from typing import Any, Dict, List, Sequence

STEP = re.compile(r"(\d+)/(\d+) \[")  # of a progress bar


class Indexing:
    """Runs ``splip index`` beside the page. What it says goes to this program's own stderr.

    Args:
        arguments: of ``splip index``.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        words = [sys.executable, "-m", "splip", "index", *arguments]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=0)
        self.done = self.total = 0
        self.said: List[str] = []  # lines of its stderr that are no progress
        for stream in (self.process.stdout, self.process.stderr):
            threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def _read(self, stream: Any) -> None:
        line = ""
        while character := stream.read(1):
            if character not in "\r\n":
                line += character
                continue
            if step := STEP.search(line):
                self.done, self.total = int(step[1]), int(step[2])
            elif line.strip():
                print(line, file=sys.stderr, flush=True)
                self.said += [line] if stream is self.process.stderr else []
            line = ""

    def progress(self) -> Dict[str, Any]:
        """``running``, ``done`` and ``total`` (0 = not known yet), and ``error``, why it ended before its end."""
        status = self.process.poll()
        error = f"indexing ended with status {status}" if status else ""
        return {
            "running": status is None, "done": self.done, "total": self.total,
            "error": self.said[-1] if error and self.said else error,
        }  # fmt: skip

    def stop(self) -> None:
        """End it; what was embedded is kept, and the next start goes on."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
