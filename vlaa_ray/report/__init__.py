"""A run, to look at: `report.html`, the final table, and the curves as one picture; all from the run folder alone."""

from vlaa_ray.report.headline import final_table
from vlaa_ray.report.page import write_report
from vlaa_ray.report.picture import curves_png

__all__ = ["curves_png", "final_table", "write_report"]
