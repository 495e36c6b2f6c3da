# SPDX-License-Identifier: MIT
"""Holds reports against the schema that is installed with the tool (python3-jsonschema; without it
nothing is held)."""

import json
import pathlib
import sys

SCHEMA = pathlib.Path(__file__).resolve().parents[1] / "tools" / "report" / "report.schema.json"

try:
    import jsonschema
except ImportError:
    # The package of the system, where the tests run under another Python.
    sys.path.append("/usr/lib/python3/dist-packages")
    try:
        import jsonschema
    except ImportError:
        jsonschema = None

_validator = None


def available():
    return jsonschema is not None


def errors(report):
    """What is wrong with a report, in words; empty: nothing."""
    global _validator
    if jsonschema is None:
        return []
    if _validator is None:
        schema = json.loads(SCHEMA.read_text())
        # The branch of a list says little when one report of it is wrong.
        _validator = jsonschema.Draft7Validator(
            {"definitions": schema["definitions"], "$ref": "#/definitions/report"})
    reports = report["reports"] if "reports" in report else [report]
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:300]}"
            for one in reports for error in _validator.iter_errors(one)]
