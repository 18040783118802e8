"""The command line: ``theorylab COMMAND``. Commands are found by entry point, like the rest.

They are listed and completed without being imported, so without torch: that takes seconds.
"""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import typer
from rich.console import Console
from typer.core import TyperCommand, TyperGroup

from theorylab import __version__
from theorylab.errors import UsageError, printable
from theorylab.plugins import registry
from theorylab.plugins.commands import commands

__all__ = ["build", "command_line", "main"]

_INTERRUPTED = 130
_REST = {"ignore_unknown_options": True, "allow_interspersed_args": False}
_THEN = "--then"
_LONGEST = 4000  # characters of an error


class _Command(TyperCommand):
    """A command none of whose options takes an empty value: ``--out ""`` is a mistake of a script.

    Taken as a path, it would be the working directory.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As typer does, once every value that was typed is one."""
        if not ctx.resilient_parsing:  # that is completion
            given, _, _ = self.make_parser(ctx).parse_args(list(args))
            for parameter in self.params:
                typed = given.get(parameter.name)
                if "" in (typed if isinstance(typed, list | tuple) else [typed]):
                    name = max(parameter.opts, key=len)
                    shown = name if name.startswith("-") else name.upper()
                    raise UsageError(f"{shown}: a value is required, got an empty one")
        return super().parse_args(ctx, args)


class _Commands(TyperGroup):
    """Every registered command: a name and a line about it, until it is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, command in commands().items():
            # A plug-in of which no command line can be made is left out of the list.
            if command.own or _built(name) is not None:
                self.add_command(TyperCommand(name, help=command.summary))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is called, with all its options."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, listed if name is None else _built(name), rest


def _built(name: str) -> Any:
    """The whole command; ``None``, and a line on stderr, if a plug-in's is no command line."""
    command = commands()[name]
    alone = typer.Typer(add_completion=False)
    try:
        function = command.load()
        settings = _REST if getattr(function, "takes_rest", False) else None
        alone.command(name, cls=_Command, context_settings=settings)(function)
        return typer.main.get_command(alone)
    except Exception as error:  # whatever is wrong with it, the other commands work
        if command.own:
            raise
        registry.leave_out("commands", name, f"{type(error).__name__}: {error}")
        return None


def command_line(name: str) -> Any:
    """A command with all its options, as typer runs it; of one of this project's names."""
    return _built(name)


def build() -> typer.Typer:
    """The application, with every registered command."""
    app = typer.Typer(
        name="theorylab",
        cls=_Commands,
        help="Check lemmas and theorems about stochastic optimization against measured runs.",
        epilog="COMMAND ... --then COMMAND ... runs one after another, until one fails.",
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

    return app


def main() -> None:
    """Run the command line: a user's mistake is one line on stderr and exit code 2.

    Commands joined by ``--then`` run one after another, until one fails: what they import and the
    workers they start are paid for once.
    """
    program, *words = sys.argv
    *before, last = _lines(words)
    for line in before:
        sys.argv = [program, *line]
        try:
            _run()
        except SystemExit as ended:
            if ended.code:
                raise
    sys.argv = [program, *last]
    _run()


def _lines(words: list[str]) -> list[list[str]]:
    """The command lines that ``--then`` joins; refused before the first runs if one is empty.

    >>> _lines(["verify", "sngm", "--then", "report"])
    [['verify', 'sngm'], ['report']]
    """
    found: list[list[str]] = [[]]
    for word in words:
        if word == _THEN:
            found.append([])
        else:
            found[-1].append(word)
    if len(found) > 1 and not all(found):
        _refuse(f"{_THEN} stands between two commands, as in: verify {_THEN} report")
    return found


def _run() -> None:
    try:
        build()()
    except ValueError as error:
        from bounds.statement import DomainError  # which takes sympy

        if not isinstance(error, UsageError | DomainError):
            raise
        _refuse(str(error.args[0] if error.args else error))
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except OSError as error:
        name = error.filename2 or error.filename
        reason = error.strerror or str(error)
        _refuse(reason if name is None else f"{name}: {reason}")
    except MemoryError as error:
        _refuse(f"not enough memory: {error}")
    except KeyboardInterrupt:
        _interrupted()
    except SystemExit as exit_:
        if exit_.code == _INTERRUPTED:  # what typer makes of an interrupt
            _interrupted()
        raise


def _refuse(text: str) -> NoReturn:
    Console(stderr=True).print("[bold red]error:[/] ", end="")
    print(printable(text, _LONGEST), file=sys.stderr)
    sys.exit(2)


def _interrupted() -> NoReturn:
    print("interrupted; finished work is kept, run the same command to go on", file=sys.stderr)
    sys.exit(_INTERRUPTED)
