"""Where an index keeps its vectors and how it searches them: FAISS beside SQLite on this machine, or Milvus."""
