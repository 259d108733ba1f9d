"""Real servers on loopback, one module for each kind of place; tools/places.py starts one, and so do the tests."""
