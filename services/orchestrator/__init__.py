"""Sessions, messages, and the runs that messages become."""
