"""class Magistral: a model and its tokenizer joined; a reply on its way; tools in rounds."""
