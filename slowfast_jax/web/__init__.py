"""A page in the browser: a video in, the film with persons and actions out."""
