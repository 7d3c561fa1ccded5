"""Report pages, charts, contact sheets and annotated videos."""
