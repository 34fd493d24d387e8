"""Asking a base model with an adapter."""
