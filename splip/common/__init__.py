"""Used by all other packages: processes, one-line errors, files written whole or not at all, the two modalities."""
