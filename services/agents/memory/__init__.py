"""What the agents of the platform remember: values, the store and its backends, embeddings, recall."""
