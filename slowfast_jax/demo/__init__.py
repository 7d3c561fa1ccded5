"""Annotates videos, cameras and streams: `python -m slowfast_jax.demo`.

What other programs call, such as a notebook or a web page; nothing of it prints or parses flags:

- `annotate.annotate_film(recognizer, video, out, options, report=..., found=...)` makes a film and
  returns the scores; `annotate_live` does the same for `sources.live.LiveFrames`.
- `annotate.Options` holds what to recognize and draw, with `choice.choose(...)` for the labels,
  `stages.persons.detect_people(detector)` or `given_people(moments)` for the people, and
  `stages.given_boxes` for tables of boxes and ground truth.
- `film.overlay.Painter` draws labels and boxes into single frames of `film.planes.drawable`.
"""
