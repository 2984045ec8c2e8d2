"""``python -m mlx_magistral`` is the ``mlx-magistral`` command."""

from mlx_magistral.cli.main import main

if __name__ == "__main__":
    main()
