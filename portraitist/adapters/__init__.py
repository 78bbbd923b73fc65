"""Read, write, put in and take out adapters."""
