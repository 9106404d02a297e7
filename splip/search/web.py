"""What the page's server does with any request: headers, files of the page, checks of what is asked."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO
from pathlib import Path
from typing import Any, Callable

from PIL import Image
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from splip.data.images import open_rgb
from splip.search.client import MOST
from splip.search.drawings import WORKING

PAGE = Path(__file__).resolve().parents[1] / "assets" / "app"
MAX_UPLOAD = 20 * 2**20  # bytes of a query image
OURS = "x-splip"  # header of the page's scripts in what they send; a form of another site cannot set it
ACTS = ("/folder/", "/copy")  # requests that act on the machine


class Headers:
    """Adds security headers, and refuses requests from pages of other sites."""

    def __init__(self, app: Any, policy: str) -> None:
        self.app = app
        self.headers = [
            (b"content-security-policy", policy.encode()), (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
        ]  # fmt: skip

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        asked = dict(scope["headers"])
        site, origin = asked.get(b"sec-fetch-site", b"none"), asked.get(b"origin", b"null").rpartition(b"//")[2]
        foreign = site in (b"cross-site", b"same-site") or (b"origin" in asked and origin != asked.get(b"host"))
        foreign = foreign or (scope["path"].startswith(ACTS) and OURS.encode() not in asked)
        if foreign and scope["path"] != "/":
            return await JSONResponse({"error": "asked by another site"}, 403)(scope, receive, send)

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self.headers]
            await send(message)

        await self.app(scope, receive, with_headers)


def page_file(name: str) -> Callable[[Request], Any]:
    async def send(request: Request) -> Response:
        return FileResponse(PAGE / name, headers={"cache-control": "no-cache"})

    return send


async def as_json(request: Request, error: Exception) -> Response:
    """The error, as one line for the page."""
    if isinstance(error, HTTPException):
        return JSONResponse({"error": error.detail}, error.status_code)
    return JSONResponse({"error": str(error)}, 422)


async def body_of(request: Request) -> bytes:
    """The request's body, at most MAX_UPLOAD bytes (else status 413)."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_UPLOAD:
            raise HTTPException(413, f"the picture is larger than {MAX_UPLOAD // 2**20} MB")
        parts.append(part)
    return b"".join(parts)


def picture_of(body: bytes, kind: str) -> Image.Image:
    """The query image; a drawing keeps its transparent parts."""
    picture = open_rgb(BytesIO(body), at_least=WORKING // 2, keep_alpha=kind == "sketch")
    picture.thumbnail((WORKING, WORKING))
    return picture


def count_of(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 4) or not 1 <= int(text) <= MOST:
        raise HTTPException(400, f"k must be 1 to {MOST}")
    return int(text)


def data_url(picture: Image.Image, side: int = 192) -> str:
    """A picture, made smaller, as an address that holds it."""
    small, content = picture.copy(), BytesIO()
    small.thumbnail((side, side))
    small.save(content, "PNG")
    return f"data:image/png;base64,{b64encode(content.getvalue()).decode()}"
