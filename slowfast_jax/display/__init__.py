"""Results, clips and films as HTML: in Jupyter they show themselves, and the web page has them."""
