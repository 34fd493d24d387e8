"""Which base models and LoRA shapes there are, and how they are loaded."""
