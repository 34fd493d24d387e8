"""The way to the Hugging Face Hub and back: publish an adapter with its card, fetch one and check every byte."""
