"""Reading and writing the user's files, in windows and rows."""
