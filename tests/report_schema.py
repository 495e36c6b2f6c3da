# SPDX-License-Identifier: MIT
"""Validates reports against the installed schema (with python3-jsonschema; without it there is no
validation)."""

import json
import pathlib
import sys

SCHEMA = pathlib.Path(__file__).resolve().parents[1] / "tools" / "report" / "report.schema.json"

try:
    import jsonschema
except ImportError:
    # The system's package, if the tests run under another Python.
    sys.path.append("/usr/lib/python3/dist-packages")
    try:
        import jsonschema
    except ImportError:
        jsonschema = None

_validator = None


def available():
    return jsonschema is not None


def errors(report):
    """Errors of a report, as text; empty: none."""
    global _validator
    if jsonschema is None:
        return []
    if _validator is None:
        schema = json.loads(SCHEMA.read_text())
        # For a list of reports, the errors of the wrong one say more.
        _validator = jsonschema.Draft7Validator(
            {"definitions": schema["definitions"], "$ref": "#/definitions/report"})
    reports = report["reports"] if "reports" in report else [report]
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:300]}"
            for one in reports for error in _validator.iter_errors(one)]
