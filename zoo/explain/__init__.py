"""Which inputs an answer owes itself to."""
