"""``python -m ndcl_domainbed COMMAND``: the same as the console command."""

from ndcl_domainbed.scripts.cli import main

main()
