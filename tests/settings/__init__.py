"""What a user may configure."""
