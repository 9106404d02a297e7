"""The web page of ``splip app``: a canvas, and the photos that match the drawing, updated while you draw.

Photos are requested by their number in the index, never by a path.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from concurrent.futures import Future
from functools import lru_cache
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Union

import numpy as np
from PIL import Image
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from splip.data.images import open_rgb
from splip.search.drawings import WORKING, clean_drawing
from splip.search.records import CLEAN, KINDS, Hit

if TYPE_CHECKING:  # it needs torch, which is slow to import; the page opens before that
    from splip.search.index import Index

PAGE = Path(__file__).resolve().parents[1] / "assets" / "app"
FILES = {"/": "index.html", "/app.js": "app.js", "/style.css": "style.css", "/icon.svg": "icon.svg"}
MAX_UPLOAD = 20 * 2**20  # bytes of a query image
MAX_TEXT = 300  # characters of a query text
MOST = 200  # photos in a response, at most
SIDES = (256, 1600)  # pixels, longer sides of served images: thumbnail and large view
LOCAL = ("127.0.0.1", "localhost", "::1")


def make_app(index: Union[Index, Future[Index]], local: bool = True, frame_ancestors: str = "'none'") -> Starlette:
    """The web application around an index.

    Args:
        index: an index, or a future of one; until it is open the page works, and queries wait.
        local: answer only requests with a local host name, so that another web page cannot use a browser on this
            machine to reach the index.
        frame_ancestors: who may show the page in a frame, in the syntax of Content-Security-Policy.
    """
    service = _Service(index if isinstance(index, Future) else _ready(index))
    routes = [Route(path, _file(name)) for path, name in FILES.items()]
    routes += [
        Route("/about", service.about),
        Route("/search", service.search, methods=["POST"]),
        Route("/similar/{id:int}", service.similar),
        Route("/image/{id:int}", service.image),
    ]
    hosts = [*LOCAL[:2], "[::1]", "["] if local else ["*"]  # old starlette versions parse [::1]:7860 as "["
    policy = f"default-src 'self'; img-src 'self' blob: data:; frame-ancestors {frame_ancestors}"
    return Starlette(
        routes=routes,
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts), Middleware(_Headers, policy=policy)],
        exception_handlers={HTTPException: _error, ValueError: _error},  # type: ignore[dict-item]
    )


class _Headers:
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
        if foreign and scope["path"] != "/":
            return await JSONResponse({"error": "asked by another site"}, 403)(scope, receive, send)

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self.headers]
            await send(message)

        await self.app(scope, receive, with_headers)


def _file(name: str) -> Callable[[Request], Any]:
    async def send(request: Request) -> Response:
        return FileResponse(PAGE / name, headers={"cache-control": "no-cache"})

    return send


async def _error(request: Request, error: Exception) -> Response:
    """The error, as one line for the page."""
    if isinstance(error, HTTPException):
        return JSONResponse({"error": error.detail}, error.status_code)
    return JSONResponse({"error": str(error)}, 422)


class _Service:
    """Answers requests; the model and the index handle one query at a time."""

    def __init__(self, opening: Future[Index]) -> None:
        self.opening, self.lock, self.decoding = opening, threading.Lock(), threading.Lock()
        self.thumbnail = lru_cache(maxsize=2000)(self._thumbnail)

    @property
    def index(self) -> Index:
        return self.opening.result()

    async def _run(self, work: Callable[..., Any], *args: Any) -> Any:
        """Run ``work(*args)`` in a thread when the index is open. No thread waits for that: there are only 40, and the
        page's files need them, too.

        Raises:
            ValueError: the index could not be opened.
        """
        await asyncio.shield(asyncio.wrap_future(self.opening))  # a client that leaves cancels only its own request
        return await run_in_threadpool(work, *args)

    async def about(self, request: Request) -> Response:
        """The data of the page's header."""

        def look() -> Dict[str, Any]:
            with self.lock:
                return {"images": len(self.index), "model": os.path.basename(self.index.model.name),
                        "words": self.index.model.knows_words}  # fmt: skip

        return JSONResponse(await self._run(look))

    async def search(self, request: Request) -> Response:
        """Search. The body is an image, or empty; URL parameters: kind, text, k."""
        asked = request.query_params
        kind, text = asked.get("kind", "sketch"), asked.get("text", "").strip()
        if kind not in KINDS:
            raise HTTPException(400, f"kind must be one of {KINDS}")
        if len(text) > MAX_TEXT:
            raise HTTPException(400, f"at most {MAX_TEXT} characters")
        count, body = _count(asked.get("k", "60")), await _body(request)
        return JSONResponse(await self._run(self._search, body, kind, text, count))

    def _search(self, body: bytes, kind: str, text: str, count: int) -> Dict[str, Any]:
        began = time.perf_counter()
        mended: List[str] = []
        picture = None
        if body:
            with self.decoding:  # one at a time: a large image needs much memory
                picture = _picture(body, kind)
            if kind == "sketch":
                picture, mended = clean_drawing(picture)
        with self.lock:
            vector = self.index.question(picture, kind="photo" if kind == "photo" else CLEAN, text=text)
            hits = self.index.nearest(vector, count)
        return {"hits": _rows(hits), "mended": mended, "seconds": round(time.perf_counter() - began, 3)}

    async def similar(self, request: Request) -> Response:
        """Photos similar to one in the index."""

        def look() -> List[Hit]:
            with self.lock:
                return self.index.similar(request.path_params["id"], count)

        count = _count(request.query_params.get("k", "60"))
        return JSONResponse({"hits": _rows(await self._run(look)), "mended": []})

    async def image(self, request: Request) -> Response:
        """A photo of the index as JPEG; URL parameter: side."""
        side = request.query_params.get("side", str(SIDES[0]))
        if side not in map(str, SIDES):
            raise HTTPException(400, f"side must be one of {SIDES}")
        if int(side) == SIDES[0]:
            found = await self._run(self.thumbnail, request.path_params["id"], SIDES[0])
            if found is None:
                self.thumbnail.cache_clear()  # the photo may exist again later
        else:
            found = await self._run(self._thumbnail, request.path_params["id"], int(side))
        if found is None:
            raise HTTPException(404, "there is no such photo, or it cannot be read any more")
        tag = f'"{blake2b(found, digest_size=12).hexdigest()}"'  # in another index the same number is another photo
        headers = {"cache-control": "private, no-cache", "etag": tag}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(found, media_type="image/jpeg", headers=headers)

    def _thumbnail(self, id: int, side: int) -> Optional[bytes]:
        with self.lock:
            path = self.index.store.path_of(id)
        if path is None:
            return None
        try:
            image = open_rgb(path, at_least=side // 2)
        except ValueError:
            return None
        image.thumbnail((side, side))
        out = BytesIO()
        image.save(out, "JPEG", quality=85)
        return out.getvalue()


async def _body(request: Request) -> bytes:
    """The request's body, at most MAX_UPLOAD bytes (else status 413)."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_UPLOAD:
            raise HTTPException(413, f"the picture is larger than {MAX_UPLOAD // 2**20} MB")
        parts.append(part)
    return b"".join(parts)


def _picture(body: bytes, kind: str) -> Image.Image:
    """The query image; a drawing keeps its transparent parts."""
    picture = open_rgb(BytesIO(body), at_least=WORKING // 2, keep_alpha=kind == "sketch")
    picture.thumbnail((WORKING, WORKING))
    return picture


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 4) or not 1 <= int(text) <= MOST:
        raise HTTPException(400, f"k must be 1 to {MOST}")
    return int(text)


def _rows(hits: List[Hit]) -> List[Dict[str, Any]]:
    """The fields of hits that the page shows; ids as text, because JavaScript integers have 53 bits."""
    return [
        {"id": str(hit.id), "score": round(hit.score, 4), "name": _shown(os.path.basename(hit.path)),
         "folder": _shown(os.path.basename(os.path.dirname(hit.path)))}
        for hit in hits
    ]  # fmt: skip


def _shown(name: str) -> str:
    """A file name as text; invalid bytes are marked."""
    return os.fsencode(name).decode("utf-8", "replace")


def warm_up(index: Index) -> None:
    """Run one query: the first query is slow, and the user should not wait for it."""
    pixels = np.full((64, 64, 3), 255, dtype=np.uint8)
    pixels[20:44, 30:34] = 0
    index.search(Image.fromarray(pixels), 1)


def _ready(index: Index) -> Future[Index]:
    warm_up(index)
    done: Future[Index] = Future()
    done.set_result(index)
    return done
