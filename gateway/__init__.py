"""The HTTP/JSON gateway: it learns its routes from descriptors and knows none of them by name."""
