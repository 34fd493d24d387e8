"""Files to rows: one reader a kind, each row with its file and line."""
