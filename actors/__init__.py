"""The roles as processes on Ray: actors, pools of actors, and drivers. There is no maths and no parsing here."""

from vlaa_ray import __version__

__all__ = ["__version__"]
