"""The diagnostics, one file each.

The name of the file, with hyphens, is the name of the diagnostic; the first line of its docstring
is shown in the help; ``diagnose(request)`` does the work.
"""
