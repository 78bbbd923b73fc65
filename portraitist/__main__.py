"""`python -m portraitist` is the command `portraitist`."""

from portraitist.cli import main

if __name__ == "__main__":
    main()
