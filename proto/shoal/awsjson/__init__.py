"""AWS-style JSON to messages and back: the one codec, driven by the descriptors of the contract.

proto3's own JSON mapping is not the services': there null is absence, an explicit 0 or false is kept, times
are seconds since the epoch, 64-bit integers are numbers, a described object may be sent back as a request,
and a mistyped field name is an error that somebody has to find. Hence this codec.

    text --loads--> document --to_message--> message --to_document--> document

A document is what `json.loads` makes of JSON. Going file -> message -> document changes nothing but this:
nulls, [] and {} are dropped, and a number in a field that is a string by nature (task-level `cpu: 256`)
becomes "256". Numbers are taken as the AWS command line takes them: 80 is a whole number; "80", 80.0 and
true are not.
"""

from shoal.awsjson.parse import BadDocument, loads
from shoal.awsjson.read import to_message
from shoal.awsjson.write import to_document
from shoal.problems import Problem

__all__ = ["BadDocument", "Problem", "loads", "to_document", "to_message"]
