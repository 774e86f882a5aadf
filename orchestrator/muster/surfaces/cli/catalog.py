"""What can be run: stages, commands and examples, as clients ask for them."""

from typing import Any, Final

from aiohttp import web

from muster.api.call import Call, json_answer
from muster.settings import Settings
from muster.surfaces.cli.definition import Argument, Catalog
from muster.surfaces.cli.loading import load_catalog

CATALOG: Final = web.AppKey("cli_catalog", Catalog)


def prepare(app: web.Application, settings: Settings) -> None:
    """Load what the settings name, before the server answers.

    Raises:
        SettingsRefused: the file cannot be used.
    """
    app[CATALOG] = load_catalog(settings)


async def cli_commands(call: Call) -> web.Response:
    """Stages, their commands, and the arguments of each."""
    stages: dict[str, Any] = {}
    for stage, commands in call.request.app[CATALOG].stages.items():
        stages[stage] = {
            "commands": list(commands),
            "schema": {name: [argument_object(one) for one in command.args] for name, command in commands.items()},
            "help": {name: command.help for name, command in commands.items()},
        }
    return json_answer(stages)


async def cli_examples(call: Call) -> web.Response:
    """Bodies of `POST /cli/run` that somebody chose to show."""
    examples = call.request.app[CATALOG].examples
    return json_answer({"examples": [example.model_dump(exclude_none=True) for example in examples]})


def argument_object(argument: Argument) -> dict[str, Any]:
    return {
        "name": argument.name,
        "flags": argument.shown_flags,
        "positional": argument.positional,
        "required": argument.required,
        "nargs": argument.nargs,
        "choices": argument.choices,
        "default": argument.default,
        "type": argument.type,
        "minimum": argument.minimum,
        "maximum": argument.maximum,
        "help": argument.help,
        "example": argument.example,
    }
