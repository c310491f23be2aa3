"""The checks, one file each.

The name of the file, with hyphens, is the name of the check; the first line of its docstring is
shown in the help; ``diagnose(request)`` does the work.
"""
