"""What a store says of a file whose bytes are not those that were written."""


class Damaged(Exception):  # noqa: N818  a finding about the store, not a fault of the program
    """The message says what is wrong. No byte of what is damaged was handed out."""
