"""``python -m theorylab``: the same as the ``theorylab`` command."""

from theorylab.cli import main

main()
