"""What callers of the services need besides the generated stubs: a channel with good defaults, readable errors."""

from codelab_client.channel import connect
from codelab_client.errors import ApiError

__all__ = ["ApiError", "connect"]
