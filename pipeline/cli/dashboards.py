"""`mien dashboards list | show | write | apply`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from operators.errors import ConfigError
from pipeline.cli.options import ConfigOption

__all__ = ["dashboards"]

dashboards = typer.Typer(help="The dashboards for Grafana: write them to files, or apply them.", no_args_is_help=True)


@dashboards.command("list")
def list_() -> None:
    """List the dashboards, and what each is for."""
    from rich.console import Console
    from rich.table import Table

    from pipeline.dashboards import all_dashboards

    table = Table("name", "panels", "for", box=None, header_style="bold")
    for board in all_dashboards():
        table.add_row(board["uid"], str(len(board["panels"])), board["description"])
    Console(highlight=False).print(table)


@dashboards.command()
def show(name: Annotated[str, typer.Argument(help="Its name, as `mien dashboards list` shows it.")]) -> None:
    """Print one dashboard as the JSON that Grafana imports.

    Example:  mien dashboards show mien-live > live.json
    """
    from pipeline.complaints import nearest
    from pipeline.dashboards.files import dashboard_files

    files = dashboard_files()
    text = files.get(f"{name.removesuffix('.json')}.json")
    if text is None:
        names = [file.removesuffix(".json") for file in files]
        near = nearest(name, names) or f"; there are: {', '.join(names)}"
        raise ConfigError(f'no dashboard is called "{name}"{near}')
    typer.echo(text, nl=False)


@dashboards.command()
def write(
    folder: Annotated[Path, typer.Argument(help="Where the dashboards go, one JSON file each.")],
    *,
    provisioning: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Also write what Grafana's provisioning folder needs.")
    ] = None,
    dashboards_at: Annotated[
        str, typer.Option(metavar="FOLDER", help="Where Grafana's machine has the dashboards.")
    ] = "/etc/mien/dashboards",
    config: ConfigOption = Path("mien.yaml"),
) -> None:
    """Write the dashboards as files, for a Grafana that reads files when it starts.

    With --provisioning also the data source, from the configuration, and alarms about the pipeline itself. No secrets
    are written. The expressions are those that the network of the configuration reads.

    Example:  mien dashboards write dashboards --provisioning provisioning -c mien.yaml
    """
    from connectors.elastic_settings import ElasticSettings
    from connectors.grafana_settings import GrafanaSettings
    from operators.rules import EXPRESSIONS
    from pipeline.config import labels_read, load_settings
    from pipeline.dashboards.files import dashboard_files, provisioning_files

    settings = load_settings(config, reads=()) if provisioning or config.exists() else None  # nothing secret is written
    labels = EXPRESSIONS if settings is None else labels_read(settings.models)
    files = {folder / name: text for name, text in dashboard_files(labels).items()}
    if settings is not None and provisioning is not None:
        elastic, grafana = settings.elasticsearch or ElasticSettings(), settings.grafana or GrafanaSettings()
        found = provisioning_files(elastic, grafana, folder=dashboards_at)
        files |= {provisioning / name: text for name, text in found.items()}
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        typer.echo(path)


@dashboards.command()
def apply(*, config: ConfigOption = Path("mien.yaml")) -> None:
    """Put folder, data source and dashboards into a running Grafana; what is there is overwritten. Safe to repeat.

    Needs `grafana.token`, of a service account with the role Admin; Editor does where the data source is there already
    from a file.

    Example:  mien dashboards apply -c mien.yaml
    """
    from pipeline.config import READS, load_settings, secret_values
    from pipeline.dashboards.push import push
    from pipeline.logs import set_up

    settings = load_settings(config, reads=READS["dashboards"])
    set_up(secrets=secret_values(settings))
    for line in push(settings):
        typer.echo(line)
