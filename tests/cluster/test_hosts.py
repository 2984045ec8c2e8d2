"""Hostfiles: mlx.launch's are read, and what is wrong in one is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from mlx_magistral.cluster.hosts import read_hostfile
from mlx_magistral.errors import UsageError

HERE = {"ssh": "mac1.local", "ips": ["127.0.0.1"]}
THERE = {"ssh": "mac2.local", "ips": ["10.0.0.2"]}


def written(folder: Path, content: Any) -> Path:
    path = folder / "hosts.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_both_forms_of_the_file_are_read(tmp_path: Path) -> None:
    plain = read_hostfile(written(tmp_path, [HERE, THERE]))
    assert [host.name for host in plain.hosts] == ["mac1.local", "mac2.local"]
    assert (plain.backend, plain.hosts[1].address) == ("ring", "10.0.0.2")
    linked = [{**HERE, "rdma": [None, "rdma_en2"]}, {**THERE, "rdma": ["rdma_en2", None]}]
    by_rdma = read_hostfile(written(tmp_path, {"backend": "jaccl", "hosts": linked}))
    assert (by_rdma.backend, by_rdma.hosts[0].rdma) == ("jaccl", (None, "rdma_en2"))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ('[{"ssh": "mac1"},\n {"ssh" "mac2"}]', "line 2"),
        ([HERE], "names no two hosts"),
        ({"hosts": [HERE, THERE], "backend": "mpi"}, "backend is 'mpi'"),
        ([HERE, {"ips": ["10.0.0.2"]}], 'host 2 has no "ssh"'),
        ([HERE, {"ssh": "mac2.local"}], 'host 2, mac2.local, has no "ips"'),
        ([HERE, {"ssh": "mac2.local", "ips": ["mac2"]}], "'mac2' is no IP address"),
        ([HERE, {"ssh": "-oProxyCommand=x", "ips": ["10.0.0.2"]}], "no name of a host"),
        ([THERE, HERE], "10.0.0.2 is no address of this machine"),
        ({"hosts": [HERE, THERE], "backend": "jaccl"}, 'mac1.local, needs "rdma"'),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: Any, what: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_hostfile(written(tmp_path, content))
    assert what in str(caught.value) and "\n" not in str(caught.value)
