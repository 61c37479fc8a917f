"""What pictures of a run need beyond its record: the gallery's embeddings, and the patches it selected."""
