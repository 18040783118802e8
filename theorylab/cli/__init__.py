"""The command line: ``theorylab COMMAND``. Commands are found by entry point, like the rest."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NoReturn

import typer
from rich.console import Console

from bounds.statement import DomainError
from theorylab import __version__
from theorylab.errors import UsageError
from theorylab.plugins import registry

__all__ = ["build", "main"]

_INTERRUPTED = 130
_OWN = ("theorylab", "deep", "paper_figures")


def build() -> typer.Typer:
    """The application, with every registered command."""
    app = typer.Typer(
        name="theorylab",
        help="Check lemmas and theorems about stochastic optimization against measured runs.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    def show_version(value: bool) -> None:
        if value:
            print(__version__)
            raise typer.Exit

    @app.callback()
    def top(
        version: bool = typer.Option(
            False, "--version", callback=show_version, is_eager=True, help="Show the version."
        ),
    ) -> None:
        pass

    for name, command in registry.commands().items():
        if _is_command(name, command):
            app.command(name)(command)
    return app


def _is_command(name: str, command: Callable[..., Any]) -> bool:
    """Whether a command line can be made of it; a plug-in of which none can is left out."""
    if command.__module__.split(".")[0] in _OWN:
        return True
    alone = typer.Typer()
    try:
        alone.command(name)(command)
        typer.main.get_command(alone)
    except Exception as error:  # whatever is wrong with it, the other commands work
        registry.leave_out("commands", name, f"{type(error).__name__}: {error}")
        return False
    return True


def main() -> None:
    """Run the command line: a user's mistake is one line on stderr and exit code 2."""
    try:
        build()()
    except (UsageError, DomainError) as error:
        _refuse(str(error.args[0] if error.args else error))
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except OSError as error:
        name = error.filename2 or error.filename
        reason = error.strerror or str(error)
        _refuse(reason if name is None else f"{name}: {reason}")
    except KeyboardInterrupt:
        _interrupted()
    except SystemExit as exit_:
        if exit_.code == _INTERRUPTED:  # what typer makes of an interrupt
            _interrupted()
        raise


def _refuse(text: str) -> NoReturn:
    Console(stderr=True).print("[bold red]error:[/] ", end="")
    print(text, file=sys.stderr)
    sys.exit(2)


def _interrupted() -> NoReturn:
    print("interrupted; finished work is kept, run the same command to go on", file=sys.stderr)
    sys.exit(_INTERRUPTED)
