"""The roles as processes on Ray: actors, pools of actors, and drivers. There is no maths and no parsing here."""

import os

from vlaa_ray import __version__

# Ray reads it when it is imported: a call outside a run then fails, where Ray would start or join a cluster
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")

__all__ = ["__version__"]
