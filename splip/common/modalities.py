"""The two kinds of image that are compared."""

MODALITIES = ("sketch", "photo")
SKETCH, PHOTO = 0, 1  # indices in MODALITIES, and the domain of a Dassl Datum


def check_modality(modality: str) -> None:
    """Raise ValueError unless ``modality`` is one of MODALITIES."""
    if modality not in MODALITIES:
        raise ValueError(f"modality must be one of {MODALITIES}, got {modality!r}")
