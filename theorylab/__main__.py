"""The ``theorylab`` command, also as ``python -m theorylab``: signals first, then all the rest."""

from __future__ import annotations

import logging

from theorylab.interrupts import Interrupts

__all__ = ["main"]


def main() -> None:
    """Run the command line, listening for signals before anything heavy is imported."""
    interrupts = Interrupts()
    interrupts.install()
    # It tells of a cache of fonts that it builds, between the lines of a command that draws.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    try:
        from theorylab.cli import main as run

        interrupts.begin()
        run()
    except BaseException as error:
        if interrupts.code is None:
            raise
        if isinstance(error, SystemExit):  # the command line has said how to go on
            raise SystemExit(interrupts.code) from None
        interrupts.leave()  # whatever the interruption was turned into on its way here


if __name__ == "__main__":
    main()
