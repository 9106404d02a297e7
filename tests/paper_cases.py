"""Drawings as people make them: our own shapes as strokes, on every kind of paper, screen and photograph.

`CASES` maps a name to a function: strokes -> picture. `clean(strokes)` is the same drawing as the page would send it.
"""

import io
import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont


def circle(x, y, r, start=0, end=360, ry=None):
    steps = np.linspace(math.radians(start), math.radians(end), 48)
    return [(x + r * math.cos(t), y + (ry or r) * math.sin(t)) for t in steps]


SHAPES = {  # polylines in the unit square
    "cup": [[(0.2, 0.2), (0.25, 0.85), (0.65, 0.85), (0.7, 0.2), (0.2, 0.2)], circle(0.7, 0.48, 0.17, -80, 95), circle(0.45, 0.2, 0.25, 0, 360, 0.06)],
    "house": [[(0.2, 0.9), (0.2, 0.45), (0.8, 0.45), (0.8, 0.9), (0.2, 0.9)], [(0.12, 0.48), (0.5, 0.12), (0.88, 0.48)],
              [(0.44, 0.9), (0.44, 0.65), (0.58, 0.65), (0.58, 0.9)], [(0.27, 0.55), (0.38, 0.55), (0.38, 0.66), (0.27, 0.66), (0.27, 0.55)]],
    "fish": [circle(0.42, 0.5, 0.32, 20, 340, 0.2), [(0.71, 0.43), (0.92, 0.28), (0.87, 0.5), (0.92, 0.72), (0.71, 0.57)],
             circle(0.24, 0.45, 0.025), circle(0.3, 0.5, 0.1, -50, 50)],
    "cat": [circle(0.5, 0.55, 0.3), [(0.24, 0.4), (0.22, 0.1), (0.42, 0.26)], [(0.58, 0.26), (0.78, 0.1), (0.76, 0.4)],
            circle(0.4, 0.5, 0.035), circle(0.6, 0.5, 0.035), [(0.46, 0.62), (0.54, 0.62), (0.5, 0.67), (0.46, 0.62)],
            [(0.38, 0.66), (0.12, 0.6)], [(0.38, 0.7), (0.12, 0.74)], [(0.62, 0.66), (0.88, 0.6)], [(0.62, 0.7), (0.88, 0.74)]],
    "tree": [[(0.44, 0.9), (0.45, 0.55)], [(0.56, 0.9), (0.55, 0.55)], circle(0.5, 0.35, 0.27, 100, 440, 0.24)],
    "scissors": [circle(0.3, 0.78, 0.12), circle(0.7, 0.78, 0.12), [(0.37, 0.68), (0.68, 0.1)], [(0.63, 0.68), (0.32, 0.1)]],
    "key": [circle(0.25, 0.5, 0.15), [(0.4, 0.5), (0.9, 0.5)], [(0.75, 0.5), (0.75, 0.62)], [(0.86, 0.5), (0.86, 0.62)]],
}  # fmt: skip


def ink_of(strokes, size, width, box=None):
    """(H, W) float, 1 where there is ink. size: (W, H); box: where the unit square goes, (x, y, side)."""
    page = Image.new("L", size, 0)
    side = min(size)
    x, y, scale = box or ((size[0] - side) / 2 + 0.1 * side, (size[1] - side) / 2 + 0.1 * side, 0.8 * side)
    pen, r = ImageDraw.Draw(page), width / 2
    for line in strokes:
        points = [(x + scale * a, y + scale * b) for a, b in line]
        pen.line(points, fill=255, width=width, joint="curve")
        if width > 2:
            for a, b in (points[0], points[-1]):
                pen.ellipse((a - r, b - r, a + r, b + r), fill=255)
    return np.asarray(page, dtype=np.float32) / 255


def paint(paper, ink, colour=0):
    """Ink of a colour, in [0, 255] or three of them, on paper (H, W[, 3]) -> picture."""
    paper = np.broadcast_to(np.asarray(paper, dtype=np.float32), (*ink.shape, 3)) if np.ndim(paper) < 3 else paper
    mixed = paper * (1 - ink[..., None]) + np.asarray(colour, dtype=np.float32) * ink[..., None]
    return Image.fromarray(mixed.clip(0, 255).astype(np.uint8))


def noisy(image, sigma=4, blur=0.8, seed=0):
    """As a camera sees it."""
    found = np.asarray(image.filter(ImageFilter.GaussianBlur(blur)), dtype=np.float32)
    grain = np.random.default_rng(seed).normal(0, sigma, found.shape)
    return Image.fromarray((found + grain).clip(0, 255).astype(np.uint8))


def clean(strokes):
    return paint(255, ink_of(strokes, (400, 400), 9))


def framed(width):
    def make(strokes):
        image = clean(strokes)
        ImageDraw.Draw(image).rectangle((0, 0, 399, 399), outline=(0, 0, 0), width=width)
        return image

    return make


def barred(colour, top=0):
    """A screenshot: bars left and right (or above) of a clean page."""

    def make(strokes):
        image = clean(strokes)
        size = (image.width + (0 if top else 300), image.height + top)
        page = Image.new("RGB", size, colour)
        page.paste(image, (0 if top else 150, top))
        return page

    return make


def pencil(grey):
    return lambda strokes: paint(255, ink_of(strokes, (400, 400), 7), grey)


def white_on(grey):
    return lambda strokes: paint(grey, ink_of(strokes, (400, 400), 8), 255)


def thin(size):
    return lambda strokes: paint(255, ink_of(strokes, (size, size), 1))


def in_a_corner(strokes):
    return paint(255, ink_of(strokes, (3000, 3000), 6, (80, 90, 260)))


def sheet(size=(800, 600), paper=(236, 234, 228)):
    return np.broadcast_to(np.asarray(paper, dtype=np.float32), (size[1], size[0], 3)).copy()


def hard_shadow(strokes):
    paper = sheet()
    column = np.arange(800)[None, :, None] + 0.3 * np.arange(600)[:, None, None]
    paper *= np.where(column < 480, 0.5, 1.0)
    return noisy(multiply(paper, ink_of(strokes, (800, 600), 10)))


def multiply(paper, ink, dark=0.15):
    """Ink takes the paper's light: shadows fall on both."""
    return Image.fromarray((paper * (1 - ink[..., None] * (1 - dark))).clip(0, 255).astype(np.uint8))


def soft_shadow(strokes):
    light = np.linspace(0.45, 1.0, 800)[None, :, None] * np.linspace(1.0, 0.8, 600)[:, None, None]
    return noisy(multiply(sheet() * light, ink_of(strokes, (800, 600), 8)))


def dated(strokes):
    image = paint(255, ink_of(strokes, (800, 800), 14, (60, 60, 480)))
    ImageDraw.Draw(image).text((690, 765), "12.03.2024", fill=(40, 40, 40), font=ImageFont.load_default(size=18))
    return image


def sticker(strokes):
    """Dark lines in a white shape, with clear surroundings."""
    ink = ink_of(strokes, (400, 400), 9)
    body = np.asarray(Image.fromarray((ink * 255).astype(np.uint8)).filter(ImageFilter.MaxFilter(41)))
    image = paint(255, ink).convert("RGBA")
    image.putalpha(Image.fromarray(body))
    return image


def squared(strokes, step=25, line=(170, 195, 225)):
    paper = sheet((600, 600), (250, 250, 248))
    paper[::step] = paper[1::step] = line
    paper[:, ::step] = paper[:, 1::step] = line
    return paint(paper, ink_of(strokes, (600, 600), 9), (30, 30, 60))


def lined(strokes):
    paper = sheet((600, 600), (250, 250, 246))
    for y in range(60, 600, 38):
        paper[y : y + 2] = (160, 185, 215)
    paper[:, 70:72] = (220, 120, 120)
    return noisy(paint(paper, ink_of(strokes, (600, 600), 8), (30, 40, 110)), 3)


def on_a_table(strokes, angle=0.0):
    """A sheet on a wooden table, all of it in the picture."""
    rng = np.random.default_rng(1)
    grain = np.cumsum(rng.normal(0, 2, 900))[None, :, None] % 24
    table = np.broadcast_to(np.array([120, 82, 52], dtype=np.float32), (700, 900, 3)) + grain
    page = multiply(sheet((560, 460)), ink_of(strokes, (560, 460), 8)).convert("RGBA").rotate(angle, expand=True, resample=Image.Resampling.BICUBIC)
    whole = Image.fromarray(table.clip(0, 255).astype(np.uint8))
    whole.paste(page, ((900 - page.width) // 2, (700 - page.height) // 2), page)
    return noisy(whole, 4)


def yellow(strokes):
    return noisy(multiply(sheet(paper=(243, 222, 140)), ink_of(strokes, (800, 600), 8)), 3)


def ballpoint(strokes):
    return noisy(paint(sheet((900, 900), (226, 226, 230)), ink_of(strokes, (900, 900), 4), (70, 80, 170)), 4)


def whiteboard(strokes):
    board = sheet((800, 600), (205, 210, 215))
    y, x = np.mgrid[:600, :800]
    board += 60 * np.exp(-((x - 620) ** 2 + (y - 120) ** 2) / 8000)[..., None]
    return noisy(paint(board, ink_of(strokes, (800, 600), 9), (40, 60, 150)), 3)


def chalk(strokes):
    ink = ink_of(strokes, (800, 600), 11) * np.random.default_rng(2).uniform(0.55, 1, (600, 800))
    y, x = np.mgrid[:600, :800]
    board = sheet((800, 600), (40, 66, 52)) + (14 * np.sin(x / 90) * np.cos(y / 70))[..., None]
    return noisy(paint(board, ink.astype(np.float32), (225, 228, 220)), 4)


def jpeg(strokes):
    data = io.BytesIO()
    clean(strokes).save(data, "JPEG", quality=20)
    return Image.open(io.BytesIO(data.getvalue()))


def dark_mode(strokes):
    """A screenshot of a dark drawing program, with a phone's status bar."""
    image = paint(18, ink_of(strokes, (540, 800), 8), 235)
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, 540, 36), fill=(0, 0, 0))
    pen.text((12, 8), "12:41", fill=(255, 255, 255), font=ImageFont.load_default(size=18))
    pen.rectangle((490, 10, 525, 26), outline=(255, 255, 255), width=2)
    return image


def marker(strokes):
    return paint(255, ink_of(strokes, (400, 400), 20))


def crumpled(strokes):
    rng = np.random.default_rng(3)
    relief = Image.fromarray(rng.uniform(0, 255, (10, 14)).astype(np.uint8)).resize((800, 600), Image.Resampling.BICUBIC)
    light = 0.78 + 0.3 * np.asarray(relief, dtype=np.float32)[..., None] / 255
    return noisy(multiply(sheet() * light, ink_of(strokes, (800, 600), 9)), 4)


def thumb(strokes):
    image = np.asarray(multiply(sheet(), ink_of(strokes, (800, 600), 9))).copy()
    y, x = np.mgrid[:600, :800]
    image[((x - 800) / 110) ** 2 + ((y - 520) / 150) ** 2 < 1] = (196, 144, 118)
    return noisy(Image.fromarray(image), 4)


def holes(strokes):
    image = multiply(sheet(), ink_of(strokes, (800, 600), 9))
    for y in (170, 430):
        ImageDraw.Draw(image).ellipse((12, y - 13, 38, y + 13), fill=(80, 70, 60))
    return noisy(image, 3)


def clear(colour):
    def make(strokes):
        ink = ink_of(strokes, (400, 400), 8)
        image = Image.new("RGBA", (400, 400), (*(colour,) * 3, 0))
        image.putalpha(Image.fromarray((ink * 255).astype(np.uint8)))
        return image

    return make


def coloured_pencils(strokes):
    page = np.full((500, 500, 3), 252, dtype=np.float32)
    for stroke, colour in zip(strokes, [(220, 70, 60), (60, 110, 200), (60, 150, 80), (230, 150, 40)] * 3):
        ink = ink_of([stroke], (500, 500), 9)[..., None]
        page = page * (1 - ink) + np.array(colour) * ink
    return noisy(Image.fromarray(page.astype(np.uint8)), 2)


def coloured_in(colour):
    """What lines close in has a colour; the page around it is white."""

    def make(strokes):
        image = clean(strokes)
        ImageDraw.floodfill(image, (0, 0), (254, 254, 254))
        page = np.asarray(image).copy()
        page[(page == 255).all(-1)] = colour
        return Image.fromarray(page)

    return make


def coloured_in_photographed(strokes):
    page = np.asarray(coloured_in((230, 140, 60))(strokes).resize((700, 700)), dtype=np.float32)
    return noisy(Image.fromarray((page * np.linspace(0.7, 0.95, 700)[None, :, None]).astype(np.uint8)))


def coloured_ground(strokes):
    image = clean(strokes)
    ImageDraw.floodfill(image, (0, 0), (150, 200, 240))
    return image


def signature(strokes):
    image = paint(255, ink_of(strokes, (800, 800), 12, (80, 40, 600)))
    line = [(600, 740), (620, 715), (640, 745), (660, 720), (690, 740), (740, 725)]
    ImageDraw.Draw(image).line(line, fill=(0, 0, 0), width=4)
    return image


def toolbar(strokes):
    """A screenshot of a drawing program on a phone: a title above, colours to choose from below."""
    image = paint(255, ink_of(strokes, (540, 900), 8), 20)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size=20)
    pen.rectangle((0, 0, 540, 60), fill=(245, 245, 246))
    pen.rectangle((0, 800, 540, 900), fill=(240, 240, 242))
    pen.text((20, 20), "< Untitled", fill=(0, 0, 0), font=font)
    pen.text((430, 20), "Share", fill=(0, 100, 240), font=font)
    colours = [(220, 60, 60), (60, 160, 80), (50, 90, 210), (20, 20, 20), (240, 180, 40), (120, 60, 160)]
    for x, colour in zip(range(30, 540, 80), colours):
        pen.ellipse((x, 830, x + 40, 870), fill=colour)
    return image


def card(page, paper, ink):
    """A canvas on a page of another shade."""

    def make(strokes):
        image = Image.new("RGB", (700, 600), (page,) * 3)
        image.paste(paint(paper, ink_of(strokes, (400, 400), 9), ink), (150, 100))
        return image

    return make


def clear_coloured(strokes):
    """Strokes of several colours, white among them, on nothing."""
    image = Image.new("RGBA", (400, 400), (0, 0, 0, 0))
    for stroke, colour in zip(strokes, [(255, 255, 255), (255, 220, 0), (0, 90, 255), (230, 30, 30)] * 5):
        ink = Image.fromarray((ink_of([stroke], (400, 400), 9) * 255).astype(np.uint8))
        image.paste((*colour, 255), mask=ink)
    return image


def coloured_on_black(strokes):
    page = np.zeros((500, 500, 3), dtype=np.float32)
    for stroke, colour in zip(strokes, [(255, 255, 255), (255, 60, 60), (60, 60, 255), (60, 160, 60)] * 5):
        ink = ink_of([stroke], (500, 500), 9)[..., None]
        page = page * (1 - ink) + np.array(colour) * ink
    return Image.fromarray(page.astype(np.uint8))


def red_on_green(strokes):
    """The same lightness, so that a grey picture shows nothing."""
    return paint((60, 140, 60), ink_of(strokes, (400, 400), 9), (214, 60, 60))


def frame_inside(strokes):
    image = multiply(sheet((700, 700)), ink_of(strokes, (700, 700), 9))
    ImageDraw.Draw(image).rectangle((20, 20, 680, 680), outline=(30, 30, 30), width=5)
    return noisy(image)


def cardboard(strokes):
    paper = sheet(paper=(170, 130, 88)) + 10 * np.sin(np.arange(800) / 3)[None, :, None]
    return noisy(multiply(paper, ink_of(strokes, (800, 600), 12)), 5)


def blueprint(strokes):
    paper = sheet((800, 600), (28, 70, 140))
    paper[::30] = paper[:, ::30] = (60, 100, 165)
    return noisy(paint(paper, ink_of(strokes, (800, 600), 7), (225, 232, 245)), 3)


def sticky_note(strokes):
    wall = Image.new("RGB", (1200, 900), (214, 208, 200))
    wall.paste(multiply(sheet((300, 300), (250, 232, 110)), ink_of(strokes, (300, 300), 5)), (500, 300))
    return noisy(wall)


def dim(strokes):
    light = 0.28 * np.linspace(0.8, 1.1, 800)[None, :, None]
    return noisy(multiply(sheet() * light, ink_of(strokes, (800, 600), 9), 0.35), 7)


ISSUE = {  # the ones that were measured first
    "frame of 2 pixels": framed(2), "frame of 12 pixels": framed(12),
    "grey side bars": barred((60, 60, 60)), "black side bars": barred((0, 0, 0)), "bar above": barred((45, 45, 48), 60),
    "pencil 150": pencil(150), "pencil 185": pencil(185),
    "white on grey 130": white_on(130), "white on grey 155": white_on(155), "white on grey 180": white_on(180),
    "one pixel on 400": thin(400), "one pixel on 1,000": thin(1000), "one pixel on 4,000": thin(4000),
    "small, in the corner of 3,000": in_a_corner, "half in hard shadow": hard_shadow, "date in the far corner": dated,
    "sticker": sticker, "squared paper": squared,
}  # fmt: skip
MORE = {
    "soft shadow": soft_shadow, "lined paper": lined, "on a table": on_a_table,
    "on a table, turned": lambda strokes: on_a_table(strokes, 6.0), "yellow paper": yellow, "ballpoint": ballpoint,
    "whiteboard with glare": whiteboard, "chalk": chalk, "JPEG of quality 20": jpeg, "dark mode": dark_mode,
    "thick marker": marker, "crumpled": crumpled, "thumb at the edge": thumb, "punched holes": holes,
    "clear, black lines": clear(0), "clear, white lines": clear(255), "coloured pencils": coloured_pencils,
    "coloured in, pale": coloured_in((200, 225, 170)), "coloured in, dark": coloured_in((120, 30, 30)),
    "coloured in, photographed": coloured_in_photographed, "coloured ground": coloured_ground,
    "signature": signature, "toolbar": toolbar, "white card on black": card(30, 255, 0), "black card on white": card(255, 30, 235),
    "clear, coloured lines": clear_coloured, "colours on black": coloured_on_black, "red on green": red_on_green, "drawn frame": frame_inside,
    "cardboard": cardboard, "blueprint": blueprint, "sticky note": sticky_note, "dim room": dim,
}  # fmt: skip
CASES = {**ISSUE, **MORE}
