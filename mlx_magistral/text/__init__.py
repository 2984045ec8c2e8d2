"""Messages to token ids, and generated ids to text and events. No mlx here."""
