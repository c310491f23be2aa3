"""What the commands print, read again."""


def table_lines(text: str, *, single_trial: bool = False) -> list[str]:
    """Return the lines of the tables, without trailing blanks and without our notes below them.

    ``single_trial``: without the error 0.0 that DomainBed shows of a single trial, and without
    the columns' widths, in which it counts.
    """
    if single_trial:
        text = "\n".join(
            line if line.startswith("  ") else " ".join(line.replace(" +/- 0.0", "").split())
            for line in text.splitlines()
        )
    lines = [line.rstrip() for line in text.splitlines()]
    start = next(i for i, line in enumerate(lines) if line.startswith("--------"))
    return [line for line in lines[start:] if line and not line.startswith("  ")]
