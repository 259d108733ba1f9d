"""One module for each scheme: its options with their help texts, and the function that opens a backend.

`location.py` imports such a module when it needs it. It must therefore import quickly: what an open backend needs is
imported inside `open_place`. `deadline` need not be taken, because the retries of all places use it.
"""
