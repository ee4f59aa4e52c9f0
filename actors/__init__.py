"""The roles as processes on Ray: actors, pools of them, and the driver. No maths and no parsing in here."""

from vlaa_ray import __version__

__all__ = ["__version__"]
