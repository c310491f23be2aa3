"""``python -m ndcl_domainbed.attach SCRIPT …``: see :mod:`ndcl_domainbed.attach.command_line`."""

from ndcl_domainbed.attach.command_line import main
from ndcl_domainbed.scripts.cli import run

run(main)
