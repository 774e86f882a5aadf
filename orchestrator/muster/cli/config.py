"""The commands `muster config …`."""

from typing import Annotated

from cyclopts import App, Parameter

from muster.cli.output import Format, errors, print_json, print_table

app = App(name="config", help="Show the settings.", help_format="plaintext")


@app.command
def show(
    *,
    explain: Annotated[bool, Parameter(negative="", help="Also what each setting means.")] = False,
    output: Format = "table",
) -> None:
    """Every setting, its value and where the value came from. Secrets stay hidden."""
    from muster.settings import Settings, load_settings, refusals, shown, variable

    settings = load_settings()
    rows = [
        {
            "setting": variable(name),
            "value": shown(settings, name),
            "origin": settings.origin(name),
            "meaning": " ".join((field.description or "").split()),
        }
        for name, field in Settings.model_fields.items()
    ]
    if output == "json":
        print_json(rows)
        return
    columns = ["setting", "value", "origin", *(["meaning"] if explain else [])]
    print_table([column.upper() for column in columns], [[row[column] for column in columns] for row in rows])
    for refusal in refusals(settings):
        errors.print(f"a server would not start: {refusal}", style="yellow", markup=False, soft_wrap=True)
