"""``python -m itertl``, as launchers of several processes call it."""

from itertl.cli import main

if __name__ == "__main__":
    main()
