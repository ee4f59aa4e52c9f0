"""What a run costs: the formula of the cluster files, with your region's prices as arguments.

    python cluster/cost.py --hours 10 --head 0.38 --learner 40.9 --rollout 0.9 --rollouts 4 --disk-gb 1600 --disk 0.08

Prices are those of an hour (disks and bucket: of a GB and month), in any currency. None is built in: they change, and
differ by region.
"""

from __future__ import annotations

import argparse
import sys

_HOURS_A_MONTH = 730.0


def cost(
    *,
    hours: float,
    head: float,
    learner: float,
    rollout: float,
    rollouts: float,
    disk_gb: float = 0.0,
    disk: float = 0.0,
    bucket_gb: float = 0.0,
    bucket: float = 0.0,
    lost_share: float = 0.0,
) -> float:
    """Return the cost of a run that takes `hours` on machines that stay.

    `rollouts` is the mean number of rollout machines. `lost_share` is the share of their time that is lost with spot
    machines that are taken away; the run takes longer by as much.
    """
    machines = head + learner + rollout * rollouts
    kept = (disk_gb * disk + bucket_gb * bucket) / _HOURS_A_MONTH
    return hours * (1 + lost_share) * (machines + kept)


def main() -> None:
    """Print the cost for the arguments of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name, needed in (("hours", True), ("head", True), ("learner", True), ("rollout", True), ("rollouts", True)):
        parser.add_argument(f"--{name}", type=float, required=needed)
    for name in ("disk-gb", "disk", "bucket-gb", "bucket", "lost-share"):
        parser.add_argument(f"--{name}", type=float, default=0.0)
    arguments = vars(parser.parse_args())
    sys.stdout.write(f"{cost(**arguments):.2f}\n")


if __name__ == "__main__":
    main()
