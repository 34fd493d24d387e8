"""TOON (Token-Oriented Object Notation) as a way to store examples, and what it saves in tokens."""
