"""`codelab doctor`: what is configured, what is reachable, what is missing, and how to mend it."""
