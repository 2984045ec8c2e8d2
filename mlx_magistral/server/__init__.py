"""An OpenAI- and Anthropic-compatible server for one loaded model."""
