"""The settings of common clients: what ``connect`` prints, and what ``connect --run`` starts."""

from mlx_magistral.cli.clients.agents import AGENTS
from mlx_magistral.cli.clients.libraries import LIBRARIES
from mlx_magistral.cli.clients.programs import PROGRAMS
from mlx_magistral.cli.clients.settings import ClientSettings

CLIENTS: dict[str, ClientSettings] = {**LIBRARIES, **AGENTS, **PROGRAMS}
