"""The trainers that `benchmarks/training.py` puts side by side, and what they have in common."""
