"""Reports as PDF: of one result, and of a batch with its table and its ZIP; and contact sheets."""
