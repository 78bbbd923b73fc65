"""Judge pictures: pixels to numbers once, numbers to findings."""
