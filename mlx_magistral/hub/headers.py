"""The size of a hub repository's weights from their headers, before anything large is fetched."""

from pathlib import Path
from typing import NamedTuple

from mlx_magistral.errors import HubError
from mlx_magistral.hub.download import inspect_repository, silent_bar
from mlx_magistral.hub.errors import clear_hub_errors
from mlx_magistral.model.config import ModelConfig, read_json
from mlx_magistral.model.names import is_skipped


class RemoteModel(NamedTuple):
    """Shape and exact weight bytes of a model that was not downloaded."""

    config: ModelConfig
    weight_bytes: int


def read_remote(repository: str) -> RemoteModel:
    """Fetch the config and, by range requests, the header of each weight file: about 0.1 MB each.

    Counts the files that ``pull`` would take, without tensors that are no part of the text model.
    Raises HubError, ModelNotFoundError or CheckpointError.
    """
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import SafetensorsParsingError

    api = HfApi()
    wanted = [file.name for file in inspect_repository(repository).files]
    with clear_hub_errors(repository):
        weights = [name for name in wanted if name.endswith(".safetensors")]
        is_native = weights[0].startswith("consolidated")
        config_name = "params.json" if is_native else "config.json"
        config_file = Path(hf_hub_download(repository, config_name, tqdm_class=silent_bar()))
        try:
            headers = [api.parse_safetensors_file_metadata(repository, name) for name in weights]
        except SafetensorsParsingError as error:
            raise HubError(f"{repository} has a damaged weight file: {error}") from error
    read = ModelConfig.from_params if is_native else ModelConfig.from_hf
    config = read(read_json(config_file), f"{repository}/{config_name}")
    total = 0
    for header in headers:
        for name, tensor in header.tensors.items():
            begin, end = tensor.data_offsets
            total += 0 if is_skipped(name) else end - begin
    return RemoteModel(config, total)
