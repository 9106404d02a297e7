"""Pictures of one colour and a model that tells colours apart: an index of them is made in milliseconds."""

import os

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

from splip.data.transforms import Preprocessing
from splip.models.image_model import ImageModel

COLOURS = {"red": (220, 20, 20), "green": (20, 200, 30), "blue": (20, 30, 220), "yellow": (230, 220, 20),
           "pink": (240, 130, 190), "grey": (120, 120, 120)}  # fmt: skip


def encode(images, modality):
    """Mean colours of a 2 x 2 grid, (B, 12)."""
    return F.normalize(F.adaptive_avg_pool2d(images, 2).flatten(1) + 1e-3, dim=-1)


def encode_text(texts):
    pixels = torch.tensor([COLOURS[text] for text in texts], dtype=torch.float32)
    pixels = pixels[:, :, None, None].expand(-1, -1, 8, 8)
    return encode(Preprocessing(8).normalize(pixels.to(torch.uint8)), "photo")


def colour_model(identity="colours-0123456789abcdef"):
    return ImageModel(encode, Preprocessing(8), "colours", identity, encode_text)


def paint(path, colour, size=(40, 30), mark=0):
    """A picture of one colour; ``mark`` makes its bytes its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size, COLOURS[colour])
    image.putpixel((0, 0), (mark % 256, mark // 256, 0))
    image.save(path)
    return path


def gallery(folder):
    """Six pictures below two folders."""
    for i, colour in enumerate(COLOURS):
        paint(folder / ("warm" if colour in ("red", "yellow", "pink") else "cold") / f"{colour}.png", colour, mark=i)
    return folder


def drawing(path=None, background="white", ink="black", box=(30, 20, 90, 100), size=(160, 120), width=5, mode="RGB"):
    """An ellipse with a line through it."""
    image = Image.new(mode, size, background)
    pen = ImageDraw.Draw(image)
    pen.ellipse(box, outline=ink, width=width)
    pen.line([box[:2], box[2:]], fill=ink, width=width)
    if path is not None:
        image.save(path)
    return image


def names(hits):
    return [os.path.splitext(os.path.basename(hit.path))[0] for hit in hits]
