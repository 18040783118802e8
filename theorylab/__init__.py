"""theorylab: a wind tunnel for optimization theory."""

__version__ = "0.1.0"
