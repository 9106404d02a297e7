"""Ask a running ``splip app`` instead of loading a model: no torch, so an answer takes a fraction of a second."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any, List, Optional
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

from PIL import Image

import splip
from splip.search.records import Hit

WAIT = 120  # seconds; a server that has just started still loads its model
MOST = 200  # photos in an answer, at most


class Server:
    """A running ``splip app`` on this machine.

    Args:
        address: as ``splip app`` prints it, http://127.0.0.1:7860.

    Raises:
        ValueError: there is no such server, it is of another version, or it does not say where its photos are (it then
            answers other machines, too).
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        if not self.address.startswith(("http://", "https://")):
            raise ValueError(
                f"--server must be an address as splip app prints it, http://127.0.0.1:7860, got {address!r}"
            )
        self.about = self._ask("about")
        if self.about.get("version") != splip.__version__:
            theirs = self.about.get("version", "unknown")
            raise ValueError(
                f"the server at {self.address} is version {theirs}, this is {splip.__version__}: start it again"
            )
        if not self.about["local"]:
            raise ValueError(f"the server at {self.address} answers other machines, too, and so names no paths")

    def __len__(self) -> int:
        return self.about["images"]

    def search(self, picture: Optional[Image.Image], k: int, kind: str, text: str) -> List[Hit]:
        """The k photos nearest to a picture, words or both, best first.

        Raises:
            ValueError: what the server says of the question.
        """
        body = BytesIO()
        if picture is not None:
            picture.save(body, "PNG")
        words = urlencode({"kind": kind, "text": text, "k": k})
        rows = self._ask(f"search?{words}", body.getvalue())["hits"]
        return [Hit(row["path"], row["score"], int(row["id"]), row.get("right")) for row in rows]

    def _ask(self, what: str, body: Optional[bytes] = None) -> Any:
        open_ = build_opener(ProxyHandler({})).open  # a proxy would not find this machine's own server
        try:
            with open_(Request(f"{self.address}/{what}", data=body), timeout=WAIT) as answer:
                return json.load(answer)
        except HTTPError as error:
            try:
                said = json.load(error)["error"]
            except (ValueError, KeyError, TypeError):
                said = f"status {error.code}: is that splip app?"
            raise ValueError(f"the server at {self.address}: {said}") from error
        except (URLError, OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise ValueError(
                f"no splip app answers at {self.address} ({reason}): start one, or leave --server out"
            ) from error
