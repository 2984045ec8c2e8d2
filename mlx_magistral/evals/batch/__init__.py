"""A file of requests answered into a file of replies, in OpenAI's batch form."""
