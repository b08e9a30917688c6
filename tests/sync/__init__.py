"""State, bookmarks and consecutive runs."""
