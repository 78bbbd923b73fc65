"""Who may ask the Hub for a base: a module of its own, so that the command line need not load the one that asks."""

MAY = "PORTRAITIST_MAY_FETCH"
"""Set where HF_HUB_OFFLINE is ours and not a person's: libraries are kept from the network, bases.fetching is not."""
