"""Events of sessions: publish, buffer, replay, subscribe."""
