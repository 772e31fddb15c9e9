"""A task this instance will not run."""


class Refused(Exception):  # noqa: N818 - the name says what is wrong
    """`path` is the field as AWS's JSON has it; the sentence says what would have to change. With `lacking`, what the
    field asks for is allowed, but is not to be had here and now."""

    def __init__(self, path: str, reason: str, *, lacking: bool = False) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason
        self.lacking = lacking
