"""The public client package of shoal: the contract, the client and the command line."""

__version__ = "0.1.0"
PROTOCOL_VERSION = 1
