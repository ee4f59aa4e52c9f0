"""The command `vlaa-ray` with simulated engines, reward actors and ranks; all else of a run is the product's."""

import functools
import sys

from simulated_fleet import SimulatedSpawner

from actors.fleet import fleet
from vlaa_ray.cli import main

if __name__ == "__main__":
    fleet.open_fleet = functools.partial(fleet.open_fleet, spawner=SimulatedSpawner)
    sys.exit(main())
