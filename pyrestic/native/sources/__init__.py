"""Functions that numba compiles. Importing one of these modules imports the compiler."""
