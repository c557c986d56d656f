"""`python -m tidemark.cli` is the `tidemark` command."""

from tidemark.cli.main import main

main()
