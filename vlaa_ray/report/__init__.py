"""The report of a run, `report.html`, and its final table; both are made from the run folder alone."""

from vlaa_ray.report.headline import final_table
from vlaa_ray.report.page import write_report

__all__ = ["final_table", "write_report"]
