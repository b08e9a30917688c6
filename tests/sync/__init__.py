"""State, bookmarks, and runs that follow each other."""
