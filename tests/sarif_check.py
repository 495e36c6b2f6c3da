# SPDX-License-Identifier: MIT
"""Validates SARIF files with the object model of SARIF 2.1.0 generated from its schema (Debian's
python3-sarif-python-om): every property exists, and required ones are present. Types of values, which the
model lacks, are checked by rules from the standard's text; no package has the schema itself."""

import re
import sys

LEVELS = ("none", "note", "warning", "error")
URI_REFERENCE = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=@/:?-]|%[0-9A-Fa-f]{2})+")
# The class of each object, by the enclosing class and the property.
CLASSES = {
    ("SarifLog", "runs"): "Run", ("Run", "tool"): "Tool", ("Run", "results"): "Result",
    ("Tool", "driver"): "ToolComponent", ("ToolComponent", "rules"): "ReportingDescriptor",
    ("ReportingDescriptor", "shortDescription"): "MultiformatMessageString",
    ("ReportingDescriptor", "fullDescription"): "MultiformatMessageString",
    ("ReportingDescriptor", "help"): "MultiformatMessageString",
    ("Result", "message"): "Message", ("Result", "locations"): "Location",
    ("Location", "physicalLocation"): "PhysicalLocation",
    ("PhysicalLocation", "artifactLocation"): "ArtifactLocation",
    ("PhysicalLocation", "region"): "Region",
}
PLAIN = {("Result", "partialFingerprints")}  # objects of strings

try:
    import sarif_om
except ImportError:
    sys.path.append("/usr/lib/python3/dist-packages")  # of Debian, for another interpreter
    try:
        import sarif_om
    except ImportError:
        sarif_om = None


def available():
    return sarif_om is not None


def properties(name):
    """Properties of a class: all names, and the required ones."""
    attributes = getattr(sarif_om, name).__attrs_attrs__
    names = {attribute.metadata["schema_property_name"]: attribute for attribute in attributes}
    return set(names), {key for key, attribute in names.items()
                        if repr(attribute.default) == "NOTHING"}


def model_errors(value, name, place):
    if isinstance(value, list):
        for number, each in enumerate(value):
            yield from model_errors(each, name, f"{place}[{number}]")
        return
    if not isinstance(value, dict):
        yield f"{place}: {value!r} is no {name}"
        return
    known, required = properties(name)
    yield from (f"{place}: no property {key} in {name}" for key in set(value) - known)
    yield from (f"{place}: {key} is missing in {name}" for key in required - set(value))
    for key, each in value.items():
        if (name, key) in CLASSES:
            yield from model_errors(each, CLASSES[name, key], f"{place}/{key}")
        elif (name, key) in PLAIN:
            yield from (f"{place}/{key}: no text: {text!r}" for text in each.values()
                        if not isinstance(text, str))
        elif isinstance(each, (dict, list)):
            yield f"{place}/{key}: an object that this check does not know"


def own_errors(log):
    if log.get("version") != "2.1.0" or not str(log.get("$schema")).startswith("https://"):
        yield f"version {log.get('version')!r}, schema {log.get('$schema')!r}"
    for run in log["runs"]:
        driver = run["tool"]["driver"]
        rules = [rule["id"] for rule in driver.get("rules", [])]
        if not driver["name"] or not all(isinstance(rule, str) and rule for rule in rules):
            yield f"names: {driver['name']!r}, {rules}"
        if len(rules) != len(set(rules)):
            yield f"rules that are there twice: {rules}"
        for result in run["results"]:
            if result.get("level", "warning") not in LEVELS:
                yield f"level {result['level']!r}"
            if result["ruleId"] not in rules:
                yield f"no rule {result['ruleId']!r}"
            if not isinstance(result["message"]["text"], str) or not result["message"]["text"]:
                yield f"message {result['message']!r}"
            for location in result["locations"]:
                place = location["physicalLocation"]
                line, uri = place["region"]["startLine"], place["artifactLocation"]["uri"]
                if type(line) is not int or line < 1:
                    yield f"line {line!r}"
                if not URI_REFERENCE.fullmatch(uri) or ":" in uri.split("/")[0]:
                    yield f"no reference: {uri!r}"


def errors(log):
    """Errors of a SARIF file, as text; empty: none."""
    return [*(model_errors(log, "SarifLog", "") if sarif_om else ()), *own_errors(log)]
