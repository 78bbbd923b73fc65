"""The measures, each in its own file: its record, how it is set up for one character, and its value on pictures."""
