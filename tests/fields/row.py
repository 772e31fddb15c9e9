"""One row of the table of fields."""

from dataclasses import dataclass

RUNS, NOTED, REFUSED = "runs", "noted", "refused"


@dataclass(frozen=True, slots=True)
class Row:
    """path     as in the published model: containerDefinitions[].ulimits[].name
    verdict  RUNS, NOTED or REFUSED
    test     `path/of/module.py::name`, below tests/
    says     what a reader of the documentation has to know beside the verdict
    whole    holds for everything inside the field as well
    """

    path: str
    verdict: str
    test: str
    says: str = ""
    whole: bool = False

    def covers(self, path: str) -> bool:
        return path == self.path or (self.whole and path.startswith((f"{self.path}.", f"{self.path}[]")))
