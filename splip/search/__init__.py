"""Searching one's own photos: models that embed pictures, the index that keeps embeddings, questions to it."""
