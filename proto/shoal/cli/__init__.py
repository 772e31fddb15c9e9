"""The `shoal` command line: one module per noun or verb, each loaded only when it is called for."""


def main() -> None:
    """The entry point of the console script."""
    from shoal.cli.app import run

    run()
