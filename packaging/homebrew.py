#!/usr/bin/env python3
"""Write the Homebrew formula of a release.

    packaging/homebrew.py dist/mlx_magistral-X.tar.gz --url URL --homepage URL

The sdist's hash goes into it; its dependencies are those of packaging/requirements.txt in the
sdist, each checked by hash. Needs no package; prints to stdout or --output.
"""

import argparse
import hashlib
import re
from pathlib import Path

FORMULA = """class MlxMagistral < Formula
  desc "Run, convert and script Magistral Small on a Mac with MLX"
  homepage "{homepage}"
  url "{url}"
  sha256 "{sha256}"
  license "Apache-2.0"

  depends_on arch: :arm64
  depends_on macos: :sonoma
  depends_on "python@3.13"

  def install
    system "python3.13", "-m", "venv", libexec
    pip = [libexec/"bin/python", "-m", "pip", "install", "--no-cache-dir", "--no-deps"]
    # {count} packages, each checked by hash.
    system(*pip, "--require-hashes", "--prefer-binary", "-r", "packaging/requirements.txt")
    system(*pip, ".")
    bin.install_symlink libexec/"bin/mlx-magistral"
    generate_completions_from_executable(bin/"mlx-magistral", "completion")
  end

  service do
    run [opt_bin/"mlx-magistral", "serve"]
    keep_alive successful_exit: false
    log_path var/"log/mlx-magistral.log"
    error_log_path var/"log/mlx-magistral.log"
  end

  test do
    ask = "generate -m nano --temperature 0 'What is 37 + 48?'"
    assert_match "85", shell_output("#{{bin}}/mlx-magistral #{{ask}}")
  end
end
"""
LOCK = Path(__file__).with_name("requirements.txt")


def formula(sdist: bytes, url: str, homepage: str) -> str:
    """The formula's text for the bytes of an sdist."""
    count = len(re.findall(r"^[\w.-]+==", LOCK.read_text("utf-8"), re.MULTILINE))
    return FORMULA.format(
        homepage=homepage, url=url, sha256=hashlib.sha256(sdist).hexdigest(), count=count
    )


def main() -> None:
    """Parse the command line and write."""
    parser = argparse.ArgumentParser(description="Write the Homebrew formula of a release.")
    parser.add_argument("sdist", type=Path)
    parser.add_argument("--url", required=True, help="where the sdist can be fetched")
    parser.add_argument("--homepage", required=True)
    parser.add_argument("--output", type=Path, help="instead of stdout")
    given = parser.parse_args()
    text = formula(given.sdist.read_bytes(), given.url, given.homepage)
    if given.output is None:
        print(text, end="")
    else:
        given.output.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
