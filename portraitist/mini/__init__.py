"""The embedded base: the drawn world it was taught on, its teaching, and how well it was learnt."""
