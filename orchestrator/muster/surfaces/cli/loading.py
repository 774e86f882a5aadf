"""Reads the file of stages and commands. Every problem is told at once, with the file and the place in it."""

import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import ValidationError

from muster.settings import Settings, SettingsRefused
from muster.surfaces.cli.arguments import ArgumentsRefused, given_arguments
from muster.surfaces.cli.definition import ALL_ARGUMENTS, PLACEHOLDER, POSITIONAL, Argument, Catalog, Command
from muster.surfaces.cli.demo import DEMO


def load_catalog(settings: Settings) -> Catalog:
    """What the settings name; without a file the stage `demo` in development, and nothing in production.

    Raises:
        SettingsRefused: the file cannot be read, or something in it is wrong; names all of it.
    """
    if settings.cli_file is not None:
        return read_catalog(settings.cli_file)
    return Catalog() if settings.is_production else DEMO


def read_catalog(path: Path) -> Catalog:
    """Raises: SettingsRefused."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8"
        raise SettingsRefused([f"MUSTER_CLI_FILE={path} cannot be read: {why}."]) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsRefused([f"{path} is not TOML: {error}."]) from None
    try:
        catalog = Catalog.model_validate(content)
    except ValidationError as invalid:
        errors = invalid.errors(include_url=False, include_context=False, include_input=False)
        raise SettingsRefused(_told(path, ((_place(error["loc"]), error["msg"]) for error in errors))) from None
    problems = _told(path, _problems(catalog))
    if problems:
        raise SettingsRefused(problems)
    return catalog


def _told(path: Path, found: Iterable[tuple[str, str]]) -> list[str]:
    """One sentence each; pydantic tries every kind of a union, and one complaint about a place is enough."""
    sentences: dict[str, str] = {}
    for place, text in found:
        sentences.setdefault(f"{place}\0{text}", f"{path}: {place or 'the file'}: {text.rstrip('.')}.")
    return list(sentences.values())


def _place(location: Iterable[int | str]) -> str:
    """As a reader of TOML finds it, tables from 1: `stages.demo.echo.args[1].type`."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part + 1}]"
        elif part not in _UNION_WORDS:
            text += f".{part}" if text else part
    return text


_UNION_WORDS = frozenset(
    {"bool", "int", "float", "str", "constrained-int", "literal['+','*']", "tuple[union[bool,int,float,str],...]"}
)
"""Pydantic names the member of a union in its places."""


def _problems(catalog: Catalog) -> Iterator[tuple[str, str]]:
    for name, command in catalog.commands.items():
        for place, text in _problems_of(command):
            yield f"stages.{name}{place}", text
    for number, example in enumerate(catalog.examples, 1):
        request = example.request
        wanted = catalog.stages.get(request.stage, {}).get(request.command)
        place = f"examples[{number}].request"
        if wanted is None:
            yield place, f"there is no command {request.command!r} of a stage {request.stage!r}"
            continue
        try:
            given_arguments(wanted, request.args)
        except ArgumentsRefused as refused:
            for argument, text in refused.problems:
                yield f"{place}.args.{argument}", text


def _problems_of(command: Command) -> Iterator[tuple[str, str]]:
    names = [argument.name for argument in command.args]
    for number, argument in enumerate(command.args, 1):
        place = f".args[{number}]"
        if argument.name in names[: number - 1]:
            yield place, f"there is another argument {argument.name!r}"
        for text in _problems_of_argument(argument):
            yield place, text
    yield from _problems_of_argv(command)


def _problems_of_argument(argument: Argument) -> Iterator[str]:
    if argument.positional and argument.flags:
        yield "a positional argument has no flags"
    if argument.type == "bool" and (argument.positional or argument.nargs or argument.choices):
        yield "true or false can be neither positional nor have values of its own"
    alone = Command(argv=("x",), args=(argument.model_copy(update={"required": False, "default": None}),))
    for what, value in (("default", argument.default), ("example", argument.example)):
        is_file = what == "example" and isinstance(value, str) and value.startswith("file_id:")
        try:
            given_arguments(alone, {} if is_file else {argument.name: value})
        except ArgumentsRefused as refused:
            yield f"its {what} {refused.problems[0][1]}"
    if argument.name == POSITIONAL:
        yield f"{POSITIONAL} has a meaning of its own"


def _problems_of_argv(command: Command) -> Iterator[tuple[str, str]]:
    if PLACEHOLDER.search(command.argv[0].replace("{{", "").replace("}}", "")):
        yield ".argv", "the program cannot be an argument"
    if command.argv.count(ALL_ARGUMENTS) > 1:
        yield ".argv", f"{ALL_ARGUMENTS} stands there twice"
    for name in sorted(command.placed):
        argument = command.argument(name)
        if argument is None:
            yield ".argv", f"{{{name}}} is no argument; for braces that are meant write {{{{{name}}}}}"
        elif argument.type == "bool" or argument.nargs is not None:
            yield ".argv", f"{{{name}}} must be an argument with one value"
        elif not argument.required and argument.default is None:
            yield ".argv", f"{{{name}}} must be required or have a default, as the word would be empty without it"
