"""One module a protocol, and what they share: bodies in, the client's own words out."""
