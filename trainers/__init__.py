"""Trainers, one file for each method. Importing this package registers them, and those of other packages, with the
engine (Dassl, or the built-in one). It is at the top of a checkout, and is imported as ``splip.trainers``.
"""

if __name__ != "splip.trainers":
    raise ModuleNotFoundError(f"{__file__} is splip.trainers: `import splip.trainers`", name=__name__)


from splip.common.plugins import load_entry_points
from splip.trainers import (
    centered,
    class_name,
    clip_at,
    clip_prompt,
    clipfit,
    frozen,
    ivlp,
    layernorm,
    maple,
    projection,
    prompt_src,
    seco_like,
    splip,
    vpt,
)

__all__ = [
    "centered", "class_name", "clip_at", "clip_prompt", "clipfit", "frozen", "ivlp", "layernorm", "maple", "projection",
    "prompt_src", "seco_like", "splip", "vpt",
]  # fmt: skip

load_entry_points("splip.trainers")
