"""The benchmark: what is measured (parts), how (measuring), on what (datasets), what is asked for (goals), and how it
is told (tables, plot, page).
"""
