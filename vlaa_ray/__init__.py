"""Train a vision-language model to reason, by GRPO with mixed perception and cognition rewards, on Ray."""

__version__ = "0.1.0"
__all__ = ["__version__"]
