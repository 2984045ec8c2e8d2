"""The commands of ``mlx-magistral eval``, a file each."""
