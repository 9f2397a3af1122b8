"""Reports as PDF: of one result, and of a batch with its table and its ZIP."""

from .batch_report import COLUMNS, Line, summary, table, write_zip
from .photo_report import make_report, report_path_next_to
