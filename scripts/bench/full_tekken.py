#!/usr/bin/env python3
"""Write Magistral's tekken.json, from the vocabulary that mistral-common ships, into a folder.

Its 131,072 ids are the first 130,072 ranks of tekken_240911.json under 1,000 control ids of version
v13. For scripts that want the full vocabulary without the weights.

    scripts/bench/full_tekken.py FOLDER
"""

import json
import sys
from pathlib import Path

import mistral_common

VOCABULARY = 131_072
CONTROLS = 1000
_NAMES = (
    "<unk> <s> </s> [INST] [/INST] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS] [TOOL_RESULTS] "
    "[/TOOL_RESULTS] [TOOL_CALLS] [IMG] <pad> [IMG_BREAK] [IMG_END] [PREFIX] [MIDDLE] [SUFFIX] "
    "[SYSTEM_PROMPT] [/SYSTEM_PROMPT] [TOOL_CONTENT]"
).split()
_LATER_NAMES = {32: "[ARGS]", 33: "[CALL_ID]", 34: "[THINK]", 35: "[/THINK]"}


def write_full_tekken(folder: Path) -> Path:
    """Write ``folder/tekken.json`` and return the folder."""
    source = Path(mistral_common.__file__).parent / "data" / "tekken_240911.json"
    document = json.loads(source.read_bytes())
    names = dict(enumerate(_NAMES)) | _LATER_NAMES
    document["special_tokens"] = [
        {"rank": rank, "token_str": names.get(rank, f"<SPECIAL_{rank}>"), "is_control": True}
        for rank in range(CONTROLS)
    ]
    document["vocab"] = document["vocab"][: VOCABULARY - CONTROLS]
    document["config"] = {
        "pattern": document["config"]["pattern"],
        "num_vocab_tokens": VOCABULARY - CONTROLS,
        "default_vocab_size": VOCABULARY,
        "default_num_special_tokens": CONTROLS,
        "version": "v13",
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tekken.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


if __name__ == "__main__":
    print(write_full_tekken(Path(sys.argv[1])))
