"""What a training will need: memory, time and disk, told before anything is spent. Loads no torch but in `counting`."""
