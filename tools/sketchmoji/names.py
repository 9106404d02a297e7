"""Which emoji become Sketchmoji classes, and what each source package calls them.

Groups, subgroups and names are Unicode's (CLDR), read from the `openmoji` package. Iconify packages name an emoji by a
table `chars.json` (code points -> icon) where they have one; FxEmoji and EmojiOne have none and are matched by name.
"""
from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional

GROUPS = ("animals-nature", "food-drink", "travel-places", "activities", "objects")

# Subgroups too small to be a fine-grained category of their own join a neighbour.
MERGED = {"animal-amphibian": "animal-reptile", "hotel": "place-other", "lock": "tool", "sound": "music",
          "phone": "computer", "place-religious": "place-building", "place-map": "place-geographic",
          "award-medal": "event", "arts-crafts": "game", "science": "medical", "writing": "office"}

# Names of the categories in words, for text prompts of the fine-grained setting.
CATEGORY_WORDS = {
    "animal-mammal": "mammal", "animal-bird": "bird", "animal-reptile": "reptile", "animal-marine": "sea_animal",
    "animal-bug": "insect", "plant-flower": "flower", "plant-other": "plant", "food-fruit": "fruit",
    "food-vegetable": "vegetable", "food-prepared": "prepared_food", "food-asian": "asian_food",
    "food-sweet": "sweet", "drink": "drink", "dishware": "dishware", "place-geographic": "landscape",
    "place-building": "building", "place-other": "attraction", "transport-ground": "land_vehicle",
    "transport-water": "boat", "transport-air": "aircraft", "time": "clock", "sky-weather": "weather",
    "event": "celebration", "sport": "sport", "game": "game", "clothing": "clothing", "music": "audio",
    "musical-instrument": "musical_instrument", "computer": "computer", "light-video": "camera_and_light",
    "book-paper": "book", "money": "money", "mail": "mail", "office": "stationery", "tool": "tool",
    "medical": "medical", "household": "household", "other-object": "other_object"}

# FxEmoji: icons whose name is neither the Unicode character name nor the CLDR name, found by looking at the drawings.
# None: the icon that matches by name shows something else.
FXEMOJI = {
    "mouse": "mouseside", "cat": "catside", "dog": "dogside", "pig": "pigside", "tiger": "tigerside",
    "rabbit": "bunnyside", "leopard": "leopardside", "dragon": "dragonside", "hamster": "hampster", "fox": "foxsmiling",
    "pig nose": "pigsnout", "chestnut": "acorn", "hot pepper": "chilipepper", "evergreen tree": "evergreen",
    "fallen leaf": "fallingleaf", "leaf fluttering in wind": "leaffluttering", "fish cake with swirl": "fishcakeswirl",
    "globe showing Europe-Africa": "europeafricaglobe", "globe with meridians": "meridianglobe",
    "map of Japan": "silhouetteohjapan", "beach with umbrella": "beachumbrella",
    "building construction": "construction", "Tokyo tower": "toykotower", "racing car": "racecar",
    "mantelpiece clock": "manltepiececlock", "sun": "sunrays", "star": "star", "cloud with rain": "raincloud",
    "cloud with snow": "snowcloud", "high voltage": "bolt", "water wave": "wave",
    "confetti ball": "confetti", "ribbon": "bow", "wrapped gift": "present", "reminder ribbon": "reminder",
    "necktie": "tie", "t-shirt": "mansshirt", "woman\u2019s clothes": "womansshirt", "purse": "pinkwallet",
    "clutch bag": "makeupbag", "man\u2019s shoe": "mensshoe", "running shoe": "mensrunner", "high-heeled shoe": "heels",
    "woman\u2019s sandal": "sandals", "woman\u2019s boot": "boot", "gem stone": "gem",
    "speaker high volume": "rightspeaker3soundwaves", "studio microphone": "studiomic", "control knobs": "controlknob",
    "mobile phone": "cellphone", "telephone receiver": "telephonereceiver2", "floppy disk": "floppydisk2",
    "video camera": "handheldvideocamera", "videocassette": "videocasette",
    "magnifying glass tilted left": "leftmagnifyingglass", "dollar banknote": "banknotedollar",
    "closed mailbox with raised flag": "closedmailboxraised", "ballot box with ballot": "ballottboxwithballott",
    "pen": "lowerleftpen", "chart increasing": "chartupwardstrend", "mahjong red dragon": "mahjong",
    "keyboard": "wiredkeyboard", "laptop": "oldpersonalcomputer", "desktop computer": "personalcomputer",
    "water pistol": None, "tennis": None, "cloud with lightning": None, "bird": None, "ewe": None,
}
# EmojiOne (version 2.2.7 of 2017): an older name, or another thing of the same name.
EMOJIONE = {"bullseye": "direct-hit", "water pistol": None, "cricket": None}
# OpenMoji: the black layer alone leaves out what makes the object.
OPENMOJI = {"moose": None, "mantelpiece clock": None, "phoenix": None}


class EmojiClass(NamedTuple):
    """One class: slug, Unicode name, code points ("1F408"), group, category (merged subgroup), sources by artist."""

    slug: str
    name: str
    code: str
    group: str
    category: str
    icons: Dict[str, str]


def slug(name: str) -> str:
    """"Hot dog" -> "hot_dog": the class name used for files, splits and prompts."""
    plain = unicodedata.normalize("NFKD", name.replace("\u2019", "")).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_")


def squeeze(name: str) -> str:
    """Letters and digits alone, lower case: how FxEmoji writes names."""
    return slug(name).replace("_", "")


def read_excluded(path: Path) -> Dict[str, str]:
    """Excluded Unicode names -> rule."""
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return {name: rule for name, rule, _ in rows[1:]}


def iconify_finder(package: Path, aliases: Dict[str, Optional[str]]) -> Callable[[str, str], Optional[str]]:
    """A function (Unicode name, code points) -> icon name in an Iconify package, or None: no such drawing."""
    icons = json.loads((package / "icons.json").read_text(encoding="utf-8"))
    chars = json.loads((package / "chars.json").read_text(encoding="utf-8"))
    known = set(icons["icons"]) | set(icons.get("aliases", {}))

    def find(name: str, code: str) -> Optional[str]:
        if name in aliases:
            return aliases[name]
        if chars:
            return chars.get(code.lower()) or chars.get(code.replace("-FE0F", "").lower())
        points = [int(point, 16) for point in code.split("-") if point != "FE0F"]
        character = unicodedata.name(chr(points[0]), "") if len(points) == 1 else ""
        for guess in (squeeze(character), squeeze(name), slug(name).replace("_", "-")):
            if guess and guess in known:
                return guess
        return None

    return find


def choose_classes(packages: Path, artists: Dict[str, str], photos: List[str], sketches: List[str],
                   excluded: Path) -> List[EmojiClass]:
    """Classes that have drawings by at least two photo artists and one sketch artist, sorted by slug.

    artists: artist -> npm package; photos and sketches: the artists of each modality. ValueError: an excluded name that
    is no emoji of these groups (a typing error would quietly let a near-copy in), or two classes with one slug.
    """
    emoji = json.loads((packages / "openmoji/data/openmoji.json").read_text(encoding="utf-8"))
    emoji = [row for row in emoji if row["group"] in GROUPS and not row["skintone"]]
    dropped = read_excluded(excluded)
    unknown = sorted(set(dropped) - {row["annotation"] for row in emoji})
    if unknown:
        raise ValueError(f"{excluded.name} names what is no emoji of {', '.join(GROUPS)}: {', '.join(unknown)}")
    aliases = {"fxemoji": FXEMOJI, "emojione": EMOJIONE}
    find = {artist: iconify_finder(packages / package, aliases.get(artist, {}))
            for artist, package in artists.items() if artist != "openmoji"}
    find["openmoji"] = lambda name, code: OPENMOJI.get(name, code)
    classes = []
    for row in emoji:
        name, code = row["annotation"], row["hexcode"]
        if name in dropped:
            continue
        icons = {artist: icon for artist in artists if (icon := find[artist](name, code))}
        if sum(artist in icons for artist in photos) >= 2 and any(artist in icons for artist in sketches):
            category = CATEGORY_WORDS[MERGED.get(row["subgroups"], row["subgroups"])]
            classes.append(EmojiClass(slug(name), name, code, row["group"], category, icons))
    classes.sort(key=lambda one: one.slug)
    doubles = {one.slug for one in classes if [other.slug for other in classes].count(one.slug) > 1}
    if doubles:
        raise ValueError(f"two emoji share a class name: {', '.join(sorted(doubles))}")
    return classes
