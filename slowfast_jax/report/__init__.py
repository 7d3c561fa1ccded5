"""Report pages, charts and annotated videos."""
