"""Making vectors of texts: the contract, the bundled model, an endpoint, and words alone."""
