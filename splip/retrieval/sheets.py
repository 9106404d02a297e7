"""Contact sheets: pictures of queries and the images that they found, drawn with Pillow alone."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple, Union

from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from splip.common.errors import shown
from splip.common.files import whole_file
from splip.data.products import SHEET

INK, FAINT, PAPER = (32, 33, 36), (110, 114, 120), (255, 255, 255)
# Green and vermilion of Okabe and Ito's palette, which colour-blind readers can distinguish. The mark (tick or
# cross) and the frame (solid or dashed) show the same without colour.
RIGHT, WRONG = (0, 158, 115), (213, 94, 0)
FRONT = 5  # characters of a long caption that stay in front: a score fits
SCALE = 4  # marks are drawn this much larger and shrunk, for smooth edges


class Hit(NamedTuple):
    """One retrieved image, whether it is right (None: unknown), and the text below it."""

    image: Image.Image
    correct: Optional[bool]
    caption: str = ""


class Row(NamedTuple):
    """A query and what it found, best first. Consecutive rows with the same query image object share it."""

    query: Image.Image
    hits: Sequence[Hit]
    title: str = ""  # below the query: its class
    method: str = ""  # left of the hits: the method that ranked them


def contact_sheet(
    rows: Sequence[Union[Row, tuple]],
    path: Union[str, os.PathLike],
    heading: str = "",
    tile: int = 112,
) -> Path:
    """Draw rows of (query, hits[, title[, method]]) as a picture: query left, its hits to the right.

    hits: (image, correct, caption) each, best first. Right ones have a solid green frame and a tick,
    wrong ones a dashed vermilion frame and a cross. If `correct` is None, there is neither.
    A caption that is too long keeps its first characters and its end.
    To compare two methods, give two consecutive rows with the same query image: the query is drawn once,
    the methods one above the other.
    heading: a line above all. tile: side of an image in pixels (32 or more).

    Writes `path` (its folder is made; the suffix names the format, e.g. .png) and returns it.
    Raises ValueError for no rows, a row without hits, something that is not an image, a small tile, or an
    unknown suffix. OSError, naming the file, if the disk is full.
    """
    checked = [_checked(i, row) for i, row in enumerate(rows)]
    if not checked:
        raise ValueError("contact_sheet got no rows")
    if tile < 32:
        raise ValueError(f"tile must be at least 32 pixels, got {tile}")
    return _Sheet(checked, _line(heading), tile).save(Path(path))


def _checked(i: int, row: Union[Row, tuple]) -> Row:
    try:
        row = Row(*row)
        hits = [Hit(*hit) for hit in row.hits]
        hits = [hit._replace(caption=_line(hit.caption)) for hit in hits]
        row = Row(row.query, hits, _line(row.title), _line(row.method))
    except TypeError:
        raise ValueError(f"row {i} must be (query, [(image, correct, caption), ...], title, method)") from None
    if not row.hits:
        raise ValueError(f"row {i} ({row.title!r}) has no hits")
    for image in (row.query, *(hit.image for hit in row.hits)):
        if not isinstance(image, Image.Image):
            raise ValueError(f"row {i} ({row.title!r}) holds a {type(image).__name__}, PIL images are wanted")
    return row


def _line(text: str) -> str:
    """Text on one line; bytes of a file name that cannot be decoded are marked."""
    return shown(text).encode("utf-8", "replace").decode("utf-8")


class _Sheet:
    def __init__(self, rows: List[Row], heading: str, tile: int):
        self.rows, self.heading, self.tile = rows, heading, tile
        self.font, self.bold = _font(max(11, tile // 9)), _font(max(12, tile // 8))
        self.line = self.font.getbbox("Ag")[3] + 3  # height of a line of text
        self.gap, self.margin, self.edge = max(6, tile // 14), 16, max(3, tile // 28)
        self.cell = tile + 2 * self.edge  # an image with its frame
        self.row_height = self.cell + self.line + self.gap
        labels = [max(self.bold.getlength(row.method), self.font.getlength(_tally(row))) for row in rows if row.method]
        self.label_width = int(max(labels)) + 2 * self.gap if labels else 0
        self.hits_left = self.margin + self.cell + 2 * self.gap + self.label_width
        self.top = self.margin + self.line + self.gap // 2 + (2 * self.line if heading else 0)

    def save(self, path: Path) -> Path:
        most = max(len(row.hits) for row in self.rows)
        breaks = sum(self._starts_query(i) for i in range(1, len(self.rows)))
        width = self.hits_left + most * (self.cell + self.gap) - self.gap + self.margin
        height = self.top + len(self.rows) * self.row_height + breaks * 2 * self.gap + self.margin
        height += self.line  # the legend
        self.sheet = Image.new("RGB", (width, height), PAPER)
        self.pen = ImageDraw.Draw(self.sheet)

        if self.heading:
            self._text((self.margin, self.margin), self.heading, self.bold, INK, width - 2 * self.margin)
        self._centred(self.margin, self.top - self.line - 2, "query", FAINT)
        for rank in range(most):
            self._centred(self._hit_left(rank), self.top - self.line - 2, str(rank + 1), FAINT)
        y = self.top
        for i, row in enumerate(self.rows):
            if self._starts_query(i):
                if i:
                    y += 2 * self.gap
                    rule = y - self.gap - self.gap // 2
                    self.pen.line([(self.margin, rule), (width - self.margin, rule)], (218, 220, 224))
                self._query(row, y, self._rows_of_query(i))
            self._hits(row, y)
            y += self.row_height
        if any(hit.correct is not None for row in self.rows for hit in row.hits):
            self._legend(y + self.gap // 2)
        kind = Image.registered_extensions().get(path.suffix.lower())
        if kind is None:
            raise ValueError(f"the suffix of {path} names no image format: use .png, for example")
        path.parent.mkdir(parents=True, exist_ok=True)
        info = PngImagePlugin.PngInfo()
        info.add_text("Software", SHEET)
        with whole_file(path) as file:  # other formats than PNG ignore the text
            self.sheet.save(file, kind, pnginfo=info)
        return path

    def _starts_query(self, i: int) -> bool:
        return i == 0 or self.rows[i].query is not self.rows[i - 1].query

    def _rows_of_query(self, i: int) -> int:
        n = 1
        while i + n < len(self.rows) and not self._starts_query(i + n):
            n += 1
        return n

    def _hit_left(self, rank: int) -> int:
        return self.hits_left + rank * (self.cell + self.gap)

    def _query(self, row: Row, y: int, rows: int) -> None:
        y += (rows - 1) * self.row_height // 2  # vertically in the middle of its methods' rows
        self._image(row.query, self.margin, y)
        self.pen.rectangle([self.margin, y, self.margin + self.cell - 1, y + self.cell - 1], outline=FAINT)
        self._centred(self.margin, y + self.cell + 1, row.title, INK, self.bold)

    def _hits(self, row: Row, y: int) -> None:
        if row.method:
            x = self.margin + self.cell + 2 * self.gap
            middle = y + self.cell // 2
            self._text((x, middle - self.line - 1), row.method, self.bold, INK)
            self._text((x, middle + 2), _tally(row), self.font, FAINT)
        for rank, hit in enumerate(row.hits):
            x = self._hit_left(rank)
            self._image(hit.image, x, y)
            if hit.correct is None:
                self.pen.rectangle([x, y, x + self.cell - 1, y + self.cell - 1], outline=FAINT)
            else:
                self._frame(x, y, hit.correct)
                self._mark(x + self.cell - self._mark_size(), y, hit.correct, self._mark_size())
            self._centred(x, y + self.cell + 1, _keep_end(hit.caption, self.font, self.cell), INK)

    def _mark_size(self) -> int:
        return max(14, self.tile // 6)

    def _image(self, image: Image.Image, x: int, y: int) -> None:
        image = _on_paper(image)
        scale = self.tile / max(image.size)
        size = [max(1, round(side * scale)) for side in image.size]
        image = image.resize(size, Image.Resampling.BICUBIC)
        left, top = (self.cell - size[0]) // 2, (self.cell - size[1]) // 2
        self.sheet.paste(image, (x + left, y + top))

    def _frame(self, x: int, y: int, correct: bool) -> None:
        last = self.cell - 1
        if correct:
            self.pen.rectangle([x, y, x + last, y + last], outline=RIGHT, width=self.edge)
            return
        dash, e = max(6, self.tile // 12), self.edge - 1
        for at in range(0, self.cell, 2 * dash):
            to = min(at + dash - 1, last)
            for box in ([at, 0, to, e], [at, last - e, to, last], [0, at, e, to], [last - e, at, last, to]):
                self.pen.rectangle([x + box[0], y + box[1], x + box[2], y + box[3]], fill=WRONG)

    def _mark(self, x: int, y: int, correct: bool, size: int) -> None:
        """A tick on green or a cross on vermilion, in the square (x, y, x + size, y + size)."""
        big = Image.new("RGB", (size * SCALE,) * 2, RIGHT if correct else WRONG)
        strokes = (
            [[(0.22, 0.54), (0.43, 0.75), (0.80, 0.28)]]
            if correct
            else [[(0.27, 0.27), (0.73, 0.73)], [(0.27, 0.73), (0.73, 0.27)]]
        )
        for stroke in strokes:
            points = [(px * size * SCALE, py * size * SCALE) for px, py in stroke]
            ImageDraw.Draw(big).line(points, PAPER, width=size * SCALE // 7, joint="curve")
        self.sheet.paste(big.resize((size, size), Image.Resampling.LANCZOS), (x, y))

    def _legend(self, y: int) -> None:
        x, size = self.hits_left, max(12, self.line - 2)
        for correct, text in ((True, "right"), (False, "wrong")):
            self._mark(x, y, correct, size)
            self._text((x + size + 6, y), text, self.font, FAINT)
            x += size + int(self.font.getlength(text)) + 26

    def _centred(self, x: int, y: int, text: str, colour: Tuple[int, int, int], font=None) -> None:
        font = font or self.font
        text = _fit(text, font, self.cell)
        self.pen.text((x + (self.cell - font.getlength(text)) / 2, y), text, colour, font)

    def _text(self, at: Tuple[int, int], text: str, font, colour, width: Optional[int] = None) -> None:
        self.pen.text(at, text if width is None else _fit(text, font, width), colour, font)


def _tally(row: Row) -> str:
    if any(hit.correct is None for hit in row.hits):
        return ""
    return f"{sum(bool(hit.correct) for hit in row.hits)} of {len(row.hits)} right"


def _on_paper(image: Image.Image) -> Image.Image:
    """RGB; transparent parts become white."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, PAPER), image).convert("RGB")
    return image.convert("RGB")


def _fit(text: str, font, width: float) -> str:
    """Text cut to the width, with an ellipsis if anything was cut."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"


def _keep_end(text: str, font, width: float) -> str:
    """Text cut to the width behind its first FRONT characters: names of photos differ at their end."""
    if font.getlength(text) <= width:
        return text
    front, end = text[:FRONT] + "…", text[FRONT:]
    while end and font.getlength(front + end) > width:
        end = end[1:]
    return front + end


@lru_cache(maxsize=8)
def _font(size: int) -> Any:
    """DejaVu Sans, which comes with matplotlib: Pillow's own font has ASCII only."""
    import matplotlib

    path = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    return ImageFont.truetype(str(path), size) if path.is_file() else ImageFont.load_default(size)
