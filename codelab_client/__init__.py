"""What callers of the services need besides the stubs: tokens, deadlines, readable errors, lasting streams."""

from codelab_client.channel import connect
from codelab_client.client import Client
from codelab_client.errors import ApiError
from codelab_client.tokens import Token, service_tokens

__all__ = ["ApiError", "Client", "Token", "connect", "service_tokens"]
