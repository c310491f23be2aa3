"""Where to get each dataset: one file each, with a ``RECIPE``."""
