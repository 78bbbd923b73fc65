"""portraitist: from a folder of pictures of one character to a character LoRA that is proven."""

__version__ = "0.1.0"
