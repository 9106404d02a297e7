"""What every room may use: processes, errors as one line, files that are whole or not there, the two modalities."""
