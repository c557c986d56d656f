"""Tidemark: how fast is an LLM service, what did knowing cost, and is it slower than yesterday?"""

__version__ = "0.1.0"
