"""Where frames come from: files, and cameras and streams."""
