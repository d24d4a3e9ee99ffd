"""`codelab chat`: one user talks to the agents of a running suite, from a terminal or a pipe."""
