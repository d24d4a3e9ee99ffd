"""The services of the suite, and the command that runs them."""
