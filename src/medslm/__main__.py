"""`python -m medslm` is `medslm`."""

from medslm.cli import main

main()
