"""The ``itertl`` command, also as ``python -m itertl``, as launchers of several processes call it."""

import sys


def main() -> None:
    """``cli.main``; a Ctrl-C before it is there to take it is reported in the same words."""
    try:
        from itertl.cli import main as run
    except KeyboardInterrupt:
        said = "interrupted; the same command goes on where it stopped"
        print(f"itertl: {said}", file=sys.stderr)
        if "--json" in sys.argv:
            print(f'{{"error": "{said}", "exit_status": 130}}')
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
