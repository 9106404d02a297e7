"""The web page of ``splip app``: a canvas, and the photos that match the drawing, updated while you draw.

Photos are requested by their number in the index, never by a path. What acts on the machine (a folder is opened, photos
are copied) is there only if the server answers this machine alone, and only for the page's own scripts.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from concurrent.futures import Future
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Tuple, Union

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

import splip
from splip.data.listing import cache_folder
from splip.models.scores import WEAK
from splip.search import folders
from splip.search.copies import copy_out
from splip.search.drawings import CROPPED, clean_drawing
from splip.search.records import CLEAN, KINDS, Hit, Known
from splip.search.thumbnails import SIDE, Thumbnails, small
from splip.search.web import Headers, as_json, body_of, count_of, data_url, page_file, picture_of

if TYPE_CHECKING:  # it needs torch, which is slow to import; the page opens before that
    from splip.search.index import Index

NAMES = ("app.js", "paper.js", "photos.js", "samples.js", "style.css", "icon.svg")
FILES = {"/": "index.html", **{f"/{name}": name for name in NAMES}}
MAX_TEXT = 300  # characters of a query text
SIDES = (SIDE, 1600)  # pixels, longer sides of served images: thumbnail and large view
LOCAL = ("127.0.0.1", "localhost", "::1")
GONE = "there is no such photo any more, or it cannot be read"


def make_app(
    index: Union[Index, Future[Index]], local: bool = True, frame_ancestors: str = "'none'",
    indexing: Callable[[], Mapping[str, Any]] = dict,
) -> Starlette:  # fmt: skip
    """The web application around an index.

    Args:
        index: an index, or a future of one; until it is open the page works, and queries wait.
        local: answer only requests with a local host name, so that another web page cannot use a browser on this
            machine to reach the index. Only then photos' full paths are shown, folders opened and photos copied.
        frame_ancestors: who may show the page in a frame, in the syntax of Content-Security-Policy.
        indexing: :meth:`splip.search.background.Indexing.progress`, if photos are indexed meanwhile.
    """
    service = _Service(index if isinstance(index, Future) else _ready(index), local, indexing)
    routes = [Route(path, page_file(name)) for path, name in FILES.items()]
    routes += [
        Route("/about", service.about),
        Route("/search", service.search, methods=["POST"]),
        Route("/similar/{id:int}", service.similar),
        Route("/newest", service.newest),
        Route("/image/{id:int}", service.image),
        Route("/file/{id:int}", service.file),
        Route("/folder/{id:int}", service.folder, methods=["POST"]),
        Route("/copy", service.copy, methods=["POST"]),
    ]
    hosts = [*LOCAL[:2], "[::1]", "["] if local else ["*"]  # old starlette versions parse [::1]:7860 as "["
    policy = f"default-src 'self'; img-src 'self' blob: data:; frame-ancestors {frame_ancestors}"
    return Starlette(
        routes=routes,
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts), Middleware(Headers, policy=policy)],
        exception_handlers={HTTPException: as_json, ValueError: as_json},  # type: ignore[dict-item]
    )


class _Service:
    """Answers requests; the model and the index handle one query at a time."""

    def __init__(self, opening: Future[Index], local: bool, indexing: Callable[[], Mapping[str, Any]]) -> None:
        self.opening, self.local, self.indexing = opening, local, indexing
        self.lock, self.decoding = threading.Lock(), threading.Lock()
        place = cache_folder()
        self.thumbnails = Thumbnails(place / "thumbnails" if place else None)

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
                index, local = self.index, self.local
                return {"version": splip.__version__, "images": len(index), "model": os.path.basename(index.model.name),
                        "words": index.model.knows_words, "local": local, "opens": local and folders.can_open(),
                        "indexing": dict(self.indexing())}  # fmt: skip

        return JSONResponse(await self._run(look))

    async def search(self, request: Request) -> Response:
        """Search. The body is an image, or empty; URL parameters: kind, text, k."""
        asked = request.query_params
        kind, text = asked.get("kind", "sketch"), asked.get("text", "").strip()
        if kind not in KINDS:
            raise HTTPException(400, f"kind must be one of {KINDS}")
        if len(text) > MAX_TEXT:
            raise HTTPException(400, f"at most {MAX_TEXT} characters")
        count, body = count_of(asked.get("k", "60")), await body_of(request)
        return JSONResponse(await self._run(self._search, body, kind, text, count))

    def _search(self, body: bytes, kind: str, text: str, count: int) -> Dict[str, Any]:
        began = time.perf_counter()
        mended: List[str] = []
        picture = None
        if body:
            with self.decoding:  # one at a time: a large image needs much memory
                picture = picture_of(body, kind)
            if kind == "sketch":
                picture, mended = clean_drawing(picture)
        with self.lock:
            vector = self.index.question(picture, kind="photo" if kind == "photo" else CLEAN, text=text)
            hits = self.index.nearest(vector, count)
            hits = self.index.rate(hits) if body and kind == "sketch" and not text else hits
        seconds = round(time.perf_counter() - began, 3)
        changed = [note for note in mended if note != CROPPED]
        understood = {"understood": data_url(picture)} if changed and picture else {}
        return {"hits": self._rows(hits), "mended": changed, "seconds": seconds, **understood}

    async def similar(self, request: Request) -> Response:
        """Photos similar to one in the index."""

        def look() -> List[Hit]:
            with self.lock:
                return self.index.similar(request.path_params["id"], count)

        count = count_of(request.query_params.get("k", "60"))
        return JSONResponse({"hits": self._rows(await self._run(look)), "mended": []})

    async def newest(self, request: Request) -> Response:
        """The photos whose files changed last."""

        def look() -> List[Hit]:
            with self.lock:
                return self.index.store.newest(count)

        count = count_of(request.query_params.get("k", "12"))
        return JSONResponse({"hits": self._rows(await self._run(look))})

    async def image(self, request: Request) -> Response:
        """A photo of the index, made smaller; URL parameter: side."""
        side = request.query_params.get("side", str(SIDE))
        if side not in map(str, SIDES):
            raise HTTPException(400, f"side must be one of {SIDES}")
        found = await self._run(self._small, request.path_params["id"], int(side))
        if found is None:
            raise HTTPException(404, GONE)
        tag = f'"{blake2b(found, digest_size=12).hexdigest()}"'  # in another index the same number is another photo
        headers = {"cache-control": "private, no-cache", "etag": tag}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(found, media_type="image/webp" if int(side) == SIDE else "image/jpeg", headers=headers)

    def _known(self, id: int) -> Tuple[str, Known]:
        """Path and record of a photo.

        Raises:
            HTTPException: there is none of this number, or its file is not there now.
        """
        with self.lock:
            found = self.index.store.known_of(id)
        if found is None or not os.path.isfile(found[0]):
            raise HTTPException(404, GONE)
        return found

    def _small(self, id: int, side: int) -> Optional[bytes]:
        path, known = self._known(id)
        return self.thumbnails.get(path, known) if side == SIDE else small(path, side, "JPEG")

    async def file(self, request: Request) -> Response:
        """The photo's own file, as a download."""
        path, _ = await self._run(self._known, request.path_params["id"])
        return FileResponse(path, filename=_shown(os.path.basename(path)), headers={"cache-control": "no-cache"})

    async def folder(self, request: Request) -> Response:
        """Open the photo's folder in this machine's file manager."""
        self._require_local()
        path, _ = await self._run(self._known, request.path_params["id"])
        await run_in_threadpool(folders.open_folder, os.path.dirname(path))
        return JSONResponse({})

    async def copy(self, request: Request) -> Response:
        """Copy photos to a folder of this machine. The body: {"ids": [...], "folder": "..."}."""
        self._require_local()
        try:
            asked = json.loads(await body_of(request))
            ids, folder = [int(id) for id in asked["ids"]], str(asked["folder"]).strip()
        except (ValueError, TypeError, KeyError) as error:
            raise HTTPException(400, "which photos, and to which folder?") from error
        if not ids or not os.path.isabs(os.path.expanduser(folder)):
            raise HTTPException(400, "give a whole path, as ~/found or /home/me/found")

        def copy() -> Dict[str, Any]:
            with self.lock:
                found = [self.index.store.known_of(id) for id in ids]
            paths = [known[0] for known in found if known]
            if len(paths) < len(ids):
                raise HTTPException(404, GONE)
            try:
                place, lost = copy_out([paths], folder)
            except OSError as error:
                raise HTTPException(422, f"{folder}: {error.strerror or error}") from error
            return {"folder": _shown(str(place)), "copied": len(paths) - len(lost), "lost": lost}

        return JSONResponse(await self._run(copy))

    def _require_local(self) -> None:
        if not self.local:
            raise HTTPException(403, "only the machine on which this program runs can do that")

    def _rows(self, hits: List[Hit]) -> List[Dict[str, Any]]:
        """The fields of hits that the page shows; ids as text, because JavaScript integers have 53 bits."""
        return [
            {"id": str(hit.id), "score": round(hit.score, 4), "name": _shown(os.path.basename(hit.path)),
             "folder": _shown(os.path.basename(os.path.dirname(hit.path))),
             **({"right": round(hit.right, 3), "weak": hit.right < WEAK} if hit.right is not None else {}),
             **({"path": _shown(hit.path)} if self.local else {})}
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
