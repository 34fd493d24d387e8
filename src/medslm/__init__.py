"""MedSLM teaches small language models medicine on the GPU you own, and measures the result.

Importing this package imports no torch, reads no file and opens no connection.
"""

__version__ = "0.1.0"
