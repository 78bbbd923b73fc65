"""Other people's programs that draw: a running ComfyUI, and hosted services."""
