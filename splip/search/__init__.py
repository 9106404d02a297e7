"""Searching one's own photos: models that embed pictures, the index that keeps embeddings, questions to it."""

from splip.search.index import Index
from splip.search.model import DEFAULT, ImageModel, load_model
from splip.search.records import Hit

__all__ = ["DEFAULT", "Hit", "ImageModel", "Index", "load_model"]
