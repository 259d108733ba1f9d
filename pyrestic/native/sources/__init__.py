"""Functions that numba or llvmlite compiles. Importing one of these modules imports the compiler."""
