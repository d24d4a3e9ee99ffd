"""What a caller of the services needs besides the generated stubs: a channel with sensible defaults, readable errors."""

from codelab_client.channel import connect
from codelab_client.errors import ApiError

__all__ = ["ApiError", "connect"]
