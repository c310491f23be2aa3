"""What somebody may write: it has no guard against being imported by the processes of its jobs."""

import sys

from ndcl_domainbed.scripts import sweep
from ndcl_domainbed.scripts.cli import run

run(sweep.main, sys.argv[1:])
