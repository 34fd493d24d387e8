"""Rows to examples: what the columns of somebody else's data mean."""
