"""Which drawings the embedded backbone is pretrained on, and their names: open icon sets and public-domain clip art.

No family of artists that Sketchmoji uses takes part in any version, and no other emoji set (`FORBIDDEN`).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Dict, List

SIZE = 96  # pixels a side
MAX_PER_NAME = 2  # of one set: an outline and a filled version, not all the weights of a family

# Sketchmoji's artists in any version, and every other emoji set.
FORBIDDEN = ("noto", "twemoji", "fxemoji", "openmoji", "fluent", "emojione", "emoji")

COLOUR_SETS = (
    "icon-park", "flat-color-icons", "meteocons", "streamline-color", "streamline-flex-color",
    "streamline-plump-color", "streamline-sharp-color", "streamline-ultimate-color", "streamline-freehand-color",
    "streamline-kameleon-color", "streamline-stickies-color", "streamline-cyber-color",
)
# Colour sets drawn in one fixed palette: their colours say nothing about the object and are mixed in training.
PALETTE_SETS = (
    "icon-park", "streamline-color", "streamline-flex-color", "streamline-plump-color", "streamline-sharp-color",
    "streamline-cyber-color", "streamline-freehand-color",
)
MONO_SETS = (
    "game-icons", "mdi", "tabler", "ph", "healthicons", "streamline", "streamline-ultimate",
    "streamline-freehand", "streamline-flex", "streamline-plump", "streamline-sharp", "streamline-cyber",
    "streamline-pixel", "hugeicons", "lucide", "lucide-lab", "icon-park-outline", "icon-park-solid",
    "icon-park-twotone", "material-symbols", "mingcute", "iconoir", "fa7-solid", "temaki", "maki", "map",
    "medical-icon", "covid", "guidance", "boxicons", "ri", "uil", "la", "bi", "ion", "famicons", "solar",
    "carbon", "tdesign", "mynaui", "clarity", "majesticons", "f7", "nrk", "pixelarticons", "proicons", "icons8",
    "raphael", "grommet-icons", "fontisto", "iconamoon", "lets-icons", "mage", "sidekickicons", "stash", "basil",
    "gravity-ui", "gis", "vaadin", "duo-icons", "pepicons-pop", "pepicons-print", "ix", "wi", "akar-icons",
    "circum", "cil", "memory", "uit",
)
CLIPART = "openclipart"
CLIPART_FOLDERS = (
    "animals", "buildings", "containers", "education", "electronics", "food", "office", "people", "plants",
    "recreation", "science", "tools", "transportation", "computer", "unsorted",
)
CLIPART_LEAVES_OUT = ("cards", "flags", "logos", "icons", "chess", "roadsigns", "aiga-symbols", "folders")

STYLE_WORDS = set(
    "bold broken thin light regular fill filled outline outlined line linear solid duotone duo twotone tone sharp "
    "rounded round flat remix stroke alt negative px rounder pop print pencil expressive ios md mini micro variant "
    "outer inner new simple one two three four five six seven eight nine ten sm lg xs xl rtl ltr logo i bxs bx "
    "color colour free interface essential style left right"
    .split()
)
# A name with one of these words is a piece of interface, a mark or a shape rather than a thing.
SKIP_WORDS = set(
    "arrow arrows chevron chevrons caret align alignment format sort filter zoom text font fonts letter alpha "
    "alphabet heading paragraph indent outdent border borders layout grid column columns row rows list menu toggle "
    "slider radio checkbox cursor off slash disabled enable disable plus minus add remove check checked checkmark "
    "close cancel delete edit x xmark tick alert warning error sync refresh reload rotate redo undo upload download "
    "import export login logout file files folder doc document documents page tab tabs window windows browser app "
    "apps api code html css git database data server network wifi bluetooth signal volume user users account "
    "profile chat message comment comments bubble circle circles circled square rectangle hexagon octagon pentagon "
    "dashed dotted dot dots badge currency dollar euro yen pound ruble rupee bitcoin btc eth crypto cryptocurrency "
    "brand google facebook twitter github gitlab youtube instagram linkedin whatsapp microsoft android amazon "
    "paypal visa mastercard spotify tiktok telegram slack discord reddit pinterest dribbble behance figma vimeo "
    "twitch skype snapchat yahoo emoji emoticon smiley sentiment loading loader spinner progress status settings "
    "setting config option options more ellipsis expand collapse fullscreen minimize maximize resize scale crop "
    "flip merge split branch pull commit fork node flow workflow connect connection link unlink share send reply "
    "forward backward previous next skip play pause stop record shuffle repeat eject mute unmute number percent "
    "percentage equal equals divide multiply sum sigma infinity question exclamation info help hashtag hash quote "
    "quotes bracket brackets parentheses asterisk ampersand section superscript subscript italic underline "
    "strikethrough bullet bullets ordered view visible hidden show hide visibility select selection selected all "
    "any copy paste duplicate clipboard save version history update upgrade password pin unpin sign signin signout "
    "id qr barcode scan ai ar vr nfc usb hdmi sim lte gps 3d 2d 4k hd uhd led input output variable function method "
    "class object component template widget plugin extension integration pipeline deploy build debug terminal "
    "console shell script wysiwyg markdown json xml pdf csv svg png jpg gif mp3 mp4 zip rar psd kanji hiragana "
    "katakana latin greek cyrillic roman thai arabic hebrew zodiac gender male female transgender sex blood rh "
    "location marker poi place area region polygon vector bezier anchor-point spline curve curves chart charts "
    "graph pie trend trending stats statistics analytics report kpi diagram timeline gantt kanban flag flags "
    "language translate currency-exchange time-zone shape shapes abstract dice-1 box-outer box-light pip margin "
    "padding spacing vertical horizontal top bottom center middle corner side end start front back backspace enter "
    "space shift ctrl control command cmd alt-key option-key escape esc capslock caps keyboard-key move drag drop "
    "swap switch transfer exchange in out up down low high mid medium small large half full empty quarter covid19 "
    "hiv rdt itn msm ppe dna-test agency"
    .split()
)
TEXT_NAME = re.compile(r"^(?:[a-z]|\d+[a-z]*|[a-z]\d+)$")


def words_of(name: str) -> List[str]:
    """Words of an icon's name without style words, sizes and counters: 'bear-face-24-bold' -> ['bear', 'face']."""
    words = re.split(r"[^a-z0-9]+", name.lower())
    return [w for w in words if w and w not in STYLE_WORDS and not TEXT_NAME.match(w)]


def clipart_name(path: Path) -> str:
    """Words for one clip-art file: its title (the file is named title_author_number) and the folder it lies in."""
    words = [w for w in re.split(r"[^a-z]+", path.stem.lower()) if len(w) > 1]
    title = words[:-2] if len(words) >= 3 else words[:1]
    folder = path.parent.name.replace("_", " ")
    folder = folder[:-1] if folder.endswith("s") and not folder.endswith("ss") else folder
    return " ".join(title[:3]) + ("" if folder in ("unsorted", "food") or folder in title else " " + folder)


def icon_svg(icon: Dict, data: Dict) -> str:
    """A whole SVG of an icon of Iconify's `data`, SIZE pixels a side, currentColor drawn in black."""
    sizes = (("left", 0), ("top", 0), ("width", 16), ("height", 16))
    box = " ".join(str(icon.get(field, data.get(field, default))) for field, default in sizes)
    body = icon["body"].replace("currentColor", "#000")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{SIZE}" height="{SIZE}" viewBox="{box}">{body}</svg>'
    )


def list_icons(root: Path) -> List[Dict]:
    """One row per icon, `MAX_PER_NAME` styles at most: {"set", "name" (normalised words), "key", "svg", "colour"}."""
    rows = []
    for prefix in COLOUR_SETS + MONO_SETS:
        if any(bad in prefix for bad in FORBIDDEN):
            raise ValueError(f"{prefix} belongs to a family that Sketchmoji uses")
        data = json.loads((root / prefix / "icons.json").read_text("utf-8"))
        colour, seen = prefix in COLOUR_SETS, {}
        for key, icon in data["icons"].items():
            words = words_of(key)
            raw = set(re.split(r"[^a-z0-9]+", key.lower()))
            if not words or SKIP_WORDS & raw or any("emoji" in w for w in words) or icon.get("hidden"):
                continue
            name = " ".join(words)
            seen[name] = seen.get(name, 0) + 1
            if seen[name] > MAX_PER_NAME:
                continue
            rows.append({"set": prefix, "name": name, "key": key, "svg": icon_svg(icon, data), "colour": colour})
    return rows


def list_clipart(root: Path) -> List[Dict]:
    """One row per clip-art PNG of the folders that show things (flags, logos, cards and shapes are left out)."""
    rows = []
    for path in sorted(root.rglob("*.png")):
        parts = path.relative_to(root).parts
        if parts[0] in CLIPART_FOLDERS and not any(p in CLIPART_LEAVES_OUT for p in parts):
            row = {"set": CLIPART, "name": clipart_name(path), "key": "/".join(parts), "png": str(path), "colour": True}
            rows.append(row)
    return rows
