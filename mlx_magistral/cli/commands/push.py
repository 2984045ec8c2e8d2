"""``mlx-magistral push``: a converted folder to the hub, with its card."""

import click

from mlx_magistral.cli.layout import echo_json
from mlx_magistral.cli.model_names import complete_model
from mlx_magistral.cli.options import debug_option
from mlx_magistral.errors import ConversionError, UsageError


@click.command()
@click.argument("model", shell_complete=complete_model)
@click.argument("repository")
@click.option("--private", is_flag=True, help="Only you see a repository this creates.")
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors.")
@click.option("as_json", "--json", is_flag=True, help="Print one JSON object.")
@debug_option
def command(model: str, repository: str, private: bool, quiet: bool, as_json: bool) -> None:
    """Upload MODEL, written by `convert`, to REPOSITORY, such as you/magistral-4bit.

    Every byte is checked against conversion.json first, and its README.md becomes the card. The
    repository is made if there is none, public unless --private. Files that are there already are
    not sent again. Log in once with `hf auth login`.

    \b
      mlx-magistral push magistral-4bit you/magistral-4bit
      mlx-magistral push magistral-4bit you/magistral-4bit --private
    """
    from huggingface_hub import HfApi

    from magistral_convert.output.manifest import MANIFEST_FILE, read_manifest
    from magistral_convert.output.verify import verify_folder
    from mlx_magistral.hub.errors import clear_hub_errors
    from mlx_magistral.hub.resolve import is_hub_id, require_local

    if not is_hub_id(repository):
        raise UsageError(f"{repository} is no repository. Name it as you/magistral-4bit.")
    folder = require_local(model)
    findings = verify_folder(folder)
    if findings:
        first = findings[0]
        raise ConversionError(
            f"{folder} is not as it was converted: {first.place} {first.problem}. Nothing was "
            "uploaded. See `mlx-magistral verify`."
        )
    manifest = read_manifest(folder)
    # What else lies in the folder is the user's own.
    names = sorted({*manifest.files, *manifest.shards, MANIFEST_FILE})
    api = HfApi()
    with clear_hub_errors(repository, "uploaded"):
        api.create_repo(repository, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            allow_patterns=names,
            commit_message=f"{folder.resolve().name}, converted by mlx-magistral",
        )
    nbytes = sum((folder / name).stat().st_size for name in names)
    if as_json:
        sent = {"repository": repository, "commit": commit.oid, "files": names, "bytes": nbytes}
        echo_json(sent)
    elif not quiet:
        click.echo(f"{repository}: {len(names)} files, {nbytes / 1e9:.3f} GB.")
